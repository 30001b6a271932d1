// The page's words in both languages, and how it writes times.

const WORDS = {
  en: {
    pageTitle: "DingTalk, simulated",
    company: "Acme Ltd",
    simulated: "DingTalk, simulated",
    iAm: "I am",
    private: "Private chat",
    group: "Group",
    assistantLine: "Your private AI assistant",
    groupLine: (robot) => `3 people and @${robot}. It only sees messages that mention it.`,
    placeholder: "Write to the assistant…",
    groupPlaceholder: (robot) => `Write to the group. @${robot} to ask the assistant…`,
    keys: "Enter sends · Shift+Enter breaks the line",
    send: "Send",
    attach: "Send a picture or file",
    mention: (robot) => `Mention @${robot}`,
    openDrawer: "Wire log",
    closeDrawer: "Close",
    wire: "Wire log",
    faults: "Faults",
    clear: "Clear",
    wireNote: "What goes over the wire between the simulated platform and the engine. Nothing is masked.",
    faultsNote: "Make the platform misbehave. Counted knobs go down with each use.",
    noWire: "Nothing yet. Send a message.",
    engine_ready: "Engine ready",
    engine_not_ready: "Engine is up, not ready",
    engine_unreachable: "Engine not reachable",
    engine_none: "No engine URL set",
    engine_unknown: "Asking the engine…",
    mode_http: "Messages go by HTTP callback",
    mode_none: "Nobody receives messages",
    mode_stream: (count) => `Stream connected (${count})`,
    page_lost: "This page lost its simulator; trying again…",
    queued: "Sending…",
    delivered: "Received by the engine",
    undelivered: "Not delivered",
    unseen: "Not seen by the assistant: no @",
    resend: "Send again",
    typing: (name) => `${name} is writing`,
    emptyTitle: "Say hello",
    emptyText: "This is a simulated company chat, connected to your engine. Try one of the suggestions below.",
    groupEmptyText: (robot) => `Everybody reads this group. The assistant answers when you write @${robot}.`,
    needMention: (robot) => `The assistant will not see this: add @${robot}`,
    you: "you",
    via: "by",
    after: (seconds) => `${seconds} s`,
    today: "Today",
    yesterday: "Yesterday",
    tooLarge: "The file is larger than 15 MB.",
    failed: "The simulator did not take it: ",
    themes: { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" },
    otherLanguage: "中文",
    prompts: ["@bot 明天有什么安排", "北京天气", "Tell me something nice about tea"],
    promptKinds: ["Calendar", "Weather", "Chat"],
    by_rule: "Answered by a rule",
    by_model: "Answered by the model",
    by_command: "Answered by a command",
    by_engine: "Answered by the engine",
    download: "Open",
  },
  zh: {
    pageTitle: "模拟钉钉",
    company: "示例科技",
    simulated: "模拟钉钉",
    iAm: "我是",
    private: "单聊",
    group: "群聊",
    assistantLine: "你的私有 AI 助手",
    groupLine: (robot) => `3 位成员和 @${robot}。助手只能看到 @ 它的消息。`,
    placeholder: "给助手发消息…",
    groupPlaceholder: (robot) => `在群里说点什么，@${robot} 提问…`,
    keys: "Enter 发送 · Shift+Enter 换行",
    send: "发送",
    attach: "发送图片或文件",
    mention: (robot) => `@${robot}`,
    openDrawer: "通信记录",
    closeDrawer: "关闭",
    wire: "通信记录",
    faults: "故障注入",
    clear: "清除",
    wireNote: "模拟平台与引擎之间的每一次通信，内容未做脱敏。",
    faultsNote: "让平台出错。计数类的旋钮每用一次减一。",
    noWire: "还没有内容，先发一条消息吧。",
    engine_ready: "引擎就绪",
    engine_not_ready: "引擎已启动，尚未就绪",
    engine_unreachable: "连不上引擎",
    engine_none: "未设置引擎地址",
    engine_unknown: "正在查询引擎…",
    mode_http: "消息通过 HTTP 回调送达",
    mode_none: "没有接收消息的一方",
    mode_stream: (count) => `Stream 已连接（${count}）`,
    page_lost: "页面与模拟器断开，正在重连…",
    queued: "发送中…",
    delivered: "引擎已接收",
    undelivered: "未送达",
    unseen: "助手看不到：没有 @ 它",
    resend: "重新发送",
    typing: (name) => `${name} 正在输入`,
    emptyTitle: "打个招呼吧",
    emptyText: "这是一个模拟的企业聊天，已连接到你的引擎。可以试试下面的建议。",
    groupEmptyText: (robot) => `群里的人都能看到消息。写上 @${robot}，助手就会回答。`,
    needMention: (robot) => `助手看不到这条消息，请加上 @${robot}`,
    you: "我",
    via: "经由",
    after: (seconds) => `${seconds} 秒`,
    today: "今天",
    yesterday: "昨天",
    tooLarge: "文件超过 15 MB。",
    failed: "模拟器没有接受：",
    themes: { auto: "主题：跟随系统", light: "主题：浅色", dark: "主题：深色" },
    otherLanguage: "English",
    prompts: ["@bot 明天有什么安排", "北京天气", "Tell me something nice about tea"],
    promptKinds: ["日程", "天气", "闲聊"],
    by_rule: "由规则回答",
    by_model: "由模型回答",
    by_command: "由命令回答",
    by_engine: "由引擎回答",
    download: "打开",
  },
};

let language = "en";

/** `zh` or `en`. */
export function currentLanguage() {
  return language;
}

export function setLanguage(chosen) {
  language = chosen === "zh" ? "zh" : "en";
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}

/** A word or sentence of the page; sentences with gaps take arguments. */
export function say(key, ...gaps) {
  const words = WORDS[language][key];
  return typeof words === "function" ? words(...gaps) : words;
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hour12: false });
}

/** The day as a divider between messages. */
export function day(seconds) {
  const date = new Date(seconds * 1000);
  const days = Math.round((midnight(new Date()) - midnight(date)) / 86400000);
  if (days === 0) return say("today");
  if (days === 1) return say("yesterday");
  return date.toLocaleDateString(language, { month: "long", day: "numeric", weekday: "short" });
}

function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}
