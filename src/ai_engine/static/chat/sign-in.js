// The sign-in page. Coming here from another site, the browser kept the strict cookie back for that
// one navigation; a request of our own carries it, and then the chat can be opened.
import { apply, t, toggle } from "./i18n.js";

apply();
document.getElementById("language").addEventListener("click", toggle);

if (new URLSearchParams(location.search).has("code") || location.pathname.endsWith("/sign-in")) {
  history.replaceState(null, "", "/chat");
  const wrong = document.createElement("p");
  wrong.className = "notice";
  wrong.setAttribute("role", "alert");
  wrong.dataset.text = "wrong";
  wrong.textContent = t("wrong");
  document.querySelector("form").before(wrong);
} else {
  const answer = await fetch("/chat", { cache: "no-store" });
  if (answer.ok) location.replace("/chat");
}
