// A bot on the official Node SDK, in a process of its own: JSON lines on stdout.
// Arguments: WebSocket URL, bot id, secret. It answers a text by a stream of two states and uploads
// a file for `file`; it says when another connection has taken its place.
import AiBot from '@wecom/aibot-node-sdk';

const [wsUrl, botId, secret] = process.argv.slice(2);
const say = (what, more = {}) => console.log(JSON.stringify({ what, ...more }));
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const client = new AiBot.WSClient({
  wsUrl, botId, secret, logger: quiet, maxReconnectAttempts: 1, heartbeatInterval: 50,
});

client.on('authenticated', () => say('authenticated'));
client.on('error', (error) => say('error', { message: String(error) }));
client.on('event.disconnected_event', () => say('taken over'));
client.on('message.text', async (frame) => {
  const content = frame.body.text.content;
  say('text', { content });
  if (content === 'file') {
    const data = Buffer.alloc(600000, 'x');
    const media = await client.uploadMedia(data, { type: 'file', filename: 'x.bin' });
    await client.replyMedia(frame, 'file', media.media_id);
    say('sent', media);
    return;
  }
  await client.replyStream(frame, 's1', 'You', false);
  const ack = await client.replyStream(frame, 's1', `You said ${content}`, true);
  say('streamed', { errcode: ack.errcode });
});
client.connect();
