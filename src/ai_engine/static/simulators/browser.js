// What the page asks of the browser: what it keeps, how it looks, and files.

export const kept = {
  get: (name, other) => {
    try {
      return localStorage.getItem(`sim.${name}`) ?? other;
    } catch {
      return other; // storage may be switched off
    }
  },
  set: (name, value) => {
    try {
      localStorage.setItem(`sim.${name}`, value);
    } catch { /* then it is forgotten */ }
  },
};

/** `auto`, `light` or `dark`; kept for the next visit. */
export function theme(chosen) {
  document.documentElement.dataset.theme = chosen;
  kept.set("theme", chosen);
}

/** A chosen file as the control API takes it. */
export async function packed(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  for (let from = 0; from < bytes.length; from += 32768) binary += String.fromCharCode(...bytes.subarray(from, from + 32768));
  const kind = file.type.startsWith("image/") ? "picture" : file.type.startsWith("video/") ? "video" : "file";
  return { kind, name: file.name, mime: file.type || "application/octet-stream", base64: btoa(binary) };
}
