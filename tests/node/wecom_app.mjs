// An app of WeCom's, made with the vendor's own @wecom/crypto.
//
//   serve <token> <aes key> <corp id>            takes callbacks, answers each text with "echo: …"
//   seal <token> <aes key> <corp id> <timestamp> <nonce> <message>   signs and encrypts like WeCom
//
// One line of JSON for everything that happens.
import { createServer } from 'node:http'
import { decrypt, encrypt, getSignature } from '@wecom/crypto'

const [role, token, aesKey, corpId, timestamp, nonce, message] = process.argv.slice(2)
const tell = (found) => process.stdout.write(JSON.stringify(found) + '\n')
const field = (xml, name) => (xml.match(new RegExp(`<${name}><!\\[CDATA\\[([^]*?)\\]\\]></${name}>`)) ?? [])[1]

const seal = (text, at, by) => {
  const encrypted = encrypt(aesKey, text, corpId)
  return { encrypt: encrypted, signature: getSignature(token, at, by, encrypted) }
}

const answer = (query, sealed, method) => {
  if (getSignature(token, query.get('timestamp'), query.get('nonce'), sealed) !== query.get('msg_signature')) {
    tell({ refused: true })
    return [401, '']
  }
  const { message: text, id } = decrypt(aesKey, sealed)
  tell({ method, id, text })
  if (method === 'GET') return [200, text]
  const words = field(text, 'Content')
  if (!words) return [200, '']
  const reply =
    `<xml><ToUserName><![CDATA[${field(text, 'FromUserName')}]]></ToUserName>` +
    `<FromUserName><![CDATA[${corpId}]]></FromUserName><CreateTime>1</CreateTime>` +
    `<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[echo: ${words}]]></Content></xml>`
  const found = seal(reply, '1', 'n')
  return [
    200,
    `<xml><Encrypt><![CDATA[${found.encrypt}]]></Encrypt>` +
      `<MsgSignature><![CDATA[${found.signature}]]></MsgSignature>` +
      '<TimeStamp>1</TimeStamp><Nonce><![CDATA[n]]></Nonce></xml>',
  ]
}

if (role === 'seal') {
  tell(seal(message, timestamp, nonce))
} else {
  const server = createServer(async (request, response) => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const query = new URL(request.url, 'http://app').searchParams
    const sealed = query.get('echostr') ?? field(Buffer.concat(chunks).toString(), 'Encrypt')
    const [status, body] = answer(query, sealed, request.method)
    response.writeHead(status, { 'Content-Type': 'text/xml' }).end(body)
  })
  server.listen(0, '127.0.0.1', () => tell({ port: server.address().port }))
}
