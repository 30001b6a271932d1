// A bot on the vendor's own Node SDK: JSON lines on standard output.
// node feishu_bot.mjs BASE_URL APP_ID APP_SECRET
import * as lark from "@larksuiteoapi/node-sdk";

const [domain, appId, appSecret] = process.argv.slice(2);
const tell = (what, more) => console.log(JSON.stringify({ what, ...more }));
const quiet = { loggerLevel: lark.LoggerLevel.fatal };
const client = new lark.Client({ appId, appSecret, domain, ...quiet });

const eventDispatcher = new lark.EventDispatcher(quiet).register({
  "im.message.receive_v1": async ({ message }) => {
    const { text } = JSON.parse(message.content);
    tell("message", { id: message.message_id, text });
    const answer = await client.im.message.reply({
      path: { message_id: message.message_id },
      data: { msg_type: "text", content: JSON.stringify({ text: `node: ${text}` }) },
    });
    tell("replied", { code: answer.code });
  },
  "card.action.trigger": async (event) => {
    tell("pressed", { value: event.action.value });
    return { toast: { type: "info", content: "taken" } };
  },
});

new lark.WSClient({ appId, appSecret, domain, ...quiet }).start({ eventDispatcher });
