// The page's own words in Chinese and English, and which of the two is spoken.

const WORDS = {
  zh: {
    title: "智能助手",
    other_language: "English",
    menu: "菜单",
    new: "新会话",
    sign_out: "退出",
    conversation: "对话",
    welcome_title: "你好，想聊点什么？",
    welcome_text: "我可以回答问题，也可以查日程、看天气。不妨试试：",
    welcome_hint: "输入 /help 查看全部功能，/new 开始新会话。",
    your_message: "你的消息",
    placeholder: "输入消息…",
    send: "发送",
    stop: "停止回答",
    newest: "↓ 最新消息",
    fine_print: "Enter 发送，Shift + Enter 换行。AI 的回答可能有误，请核实重要信息。",
    you: "你",
    assistant: "助手",
    thinking: "正在思考",
    sending: "等待发送…",
    not_sent: "未发送",
    again: "重试",
    discard: "删除",
    copy: "复制",
    copied: "已复制",
    cleared: "新会话",
    gap: "更早的消息已不再保留",
    rule: "规则触发的技能：{name}",
    model: "模型：{name}",
    command: "命令",
    engine: "系统",
    online: "已连接",
    connecting: "正在连接…",
    offline: "连接已断开，{seconds} 秒后重试",
    paused: "已暂停，操作页面即可恢复",
    signed_out: "登录已失效。请打开新的登录链接，或重新登录。",
    sign_in_again: "重新登录",
    old_page: "页面已更新，请刷新。",
    reload: "刷新",
    too_long: "消息过长：{n} / {limit} 个字符",
    sign_in_title: "登录",
    sign_in_text: "请打开引擎启动时显示的一次性链接（十分钟内有效，只能使用一次）。",
    token: "或粘贴数据目录中 admin.token 文件里的令牌：",
    sign_in: "登录",
    wrong: "链接或令牌无效，或已被使用。",
  },
  en: {
    title: "Assistant",
    other_language: "中文",
    menu: "Menu",
    new: "New chat",
    sign_out: "Sign out",
    conversation: "Conversation",
    welcome_title: "Hello. What can I do for you?",
    welcome_text: "I answer questions, look into the calendar and check the weather. Try one of these:",
    welcome_hint: "Type /help for everything I can do, /new to start afresh.",
    your_message: "Your message",
    placeholder: "Write a message…",
    send: "Send",
    stop: "Stop answering",
    newest: "↓ Newest",
    fine_print: "Enter sends, Shift + Enter starts a new line. Answers can be wrong; check what matters.",
    you: "You",
    assistant: "Assistant",
    thinking: "Thinking",
    sending: "Waiting to be sent…",
    not_sent: "Not sent",
    again: "Try again",
    discard: "Discard",
    copy: "Copy",
    copied: "Copied",
    cleared: "New chat",
    gap: "Earlier messages are no longer kept",
    rule: "Skill, by rule: {name}",
    model: "Model: {name}",
    command: "Command",
    engine: "System",
    online: "Connected",
    connecting: "Connecting…",
    offline: "Disconnected, trying again in {seconds} s",
    paused: "Paused; use the page to go on",
    signed_out: "You are not signed in any more. Open a new link, or sign in again.",
    sign_in_again: "Sign in again",
    old_page: "The page has been updated. Please reload it.",
    reload: "Reload",
    too_long: "Too long: {n} of {limit} characters",
    sign_in_title: "Sign in",
    sign_in_text: "Open the one-time link that the engine prints when it starts. It works once, for ten minutes.",
    token: "Or paste the token from the file admin.token in the data directory:",
    sign_in: "Sign in",
    wrong: "This link or token is wrong, or has been used.",
  },
};

/** Three things to try, each with what it shows. The first two need a rule, not a model. */
export const SUGGESTIONS = {
  zh: [
    { text: "@bot 明天有什么安排", about: "查日程 · 由规则触发，不需要模型" },
    { text: "北京天气怎么样", about: "查天气" },
    { text: "Write one sentence about the sea.", about: "和模型对话" },
  ],
  en: [
    { text: "What's on my calendar tomorrow?", about: "Calendar · by a rule, no model needed" },
    { text: "Weather in Beijing", about: "Weather" },
    { text: "Write one sentence about the sea.", about: "Chat with the model" },
  ],
};

const KEY = "ai-engine-language";
let language = localStorage.getItem(KEY) || (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
if (!WORDS[language]) language = "en";

export function current() {
  return language;
}

/** The words for `key`, with `{name}` replaced. */
export function t(key, values = {}) {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Put the words into everything marked with data-text, data-label or data-placeholder. */
export function apply(root = document) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = t("title");
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", t(element.dataset.label));
    if (element.tagName === "BUTTON") element.title = t(element.dataset.label);
  }
  for (const element of root.querySelectorAll("[data-placeholder]")) element.placeholder = t(element.dataset.placeholder);
  const other = document.getElementById("language");
  if (other) other.lang = language === "zh" ? "en" : "zh-CN";
}

export function toggle() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem(KEY, language);
  apply();
}
