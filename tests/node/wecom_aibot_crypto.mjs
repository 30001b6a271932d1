// The official crypto library: opens each line's callback and seals an answer. A line is
// {"token","key","timestamp","nonce","encrypt","answer"}.
import { createInterface } from 'node:readline';
import { decrypt, encrypt, getSignature } from '@wecom/crypto';

for await (const line of createInterface({ input: process.stdin })) {
  const { token, key, timestamp, nonce, encrypt: sealed, answer } = JSON.parse(line);
  const { message, id } = decrypt(key, sealed);
  const back = encrypt(key, answer, '');
  console.log(JSON.stringify({
    signature: getSignature(token, timestamp, nonce, sealed),
    message,
    id,
    encrypt: back,
    msgsignature: getSignature(token, timestamp, nonce, back),
  }));
}
