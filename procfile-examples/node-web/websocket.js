'use strict';

const crypto = require('node:crypto');

// RFC 6455, section 1.3: proves that the request was understood.
const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const PAYLOAD_BYTES_MAX = 64 * 1024;
const TEXT = 1, CLOSE = 8, PING = 9, PONG = 10;

// One whole frame from the start of the buffer, or null while bytes are missing.
function read(buffer) {
  if (buffer.length < 6) return null;
  let length = buffer[1] & 0x7f, at = 2;
  if (length === 126) { if (buffer.length < 8) return null; length = buffer.readUInt16BE(2); at = 4; }
  if (length === 127 || length > PAYLOAD_BYTES_MAX || !(buffer[1] & 0x80)) throw new Error('frame refused');
  if (buffer.length < at + 4 + length) return null;
  const mask = buffer.subarray(at, at + 4);
  const payload = Buffer.from(buffer.subarray(at + 4, at + 4 + length).map((byte, i) => byte ^ mask[i % 4]));
  return { opcode: buffer[0] & 0x0f, payload, size: at + 4 + length };
}

function write(socket, opcode, payload) {
  const head = payload.length < 126
    ? Buffer.from([0x80 | opcode, payload.length])
    : Buffer.from([0x80 | opcode, 126, payload.length >> 8, payload.length & 0xff]);
  socket.write(Buffer.concat([head, payload]));
}

// Says back what it hears, until either side closes.
exports.echo = (request, socket) => {
  const key = request.headers['sec-websocket-key'];
  if (!key || request.headers.upgrade.toLowerCase() !== 'websocket') {
    socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    return;
  }
  const accept = crypto.createHash('sha1').update(key + MAGIC).digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  let pending = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    try {
      for (let frame; (frame = read(pending)); pending = pending.subarray(frame.size)) {
        if (frame.opcode === CLOSE) { write(socket, CLOSE, frame.payload); socket.end(); return; }
        write(socket, frame.opcode === PING ? PONG : frame.opcode || TEXT, frame.payload);
      }
    } catch { socket.destroy(); }
  });
};
