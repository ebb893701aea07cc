'use strict';

const http = require('node:http');
const os = require('node:os');
const ms = require('ms');
const websocket = require('./websocket');

const VERSION = 'one';
const PORT = Number(process.env.PORT || 5000);
const started = Date.now();

const facts = () => ({
  app: process.env.APP || 'node-web',
  host: os.hostname(),
  instance: process.env.DYNO || 'web.1',
  release: process.env.RELEASE_VERSION || 'not released',
  version: VERSION,
  pid: process.pid,
  up: ms(Date.now() - started),
});

function text(response, status, body) {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(body);
}

function front(request, response) {
  if ((request.headers.accept || '').includes('application/json')) {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify(facts())}\n`);
    return;
  }
  const lines = Object.entries(facts()).map(([name, value]) => `${name.padEnd(9)}${value}`);
  text(response, 200, `${lines.join('\n')}\n`);
}

// One event at once, then one a second until the visitor leaves.
function events(request, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  let number = 0;
  const send = () => response.write(`id: ${number}\ndata: ${JSON.stringify({ number: number++, ...facts() })}\n\n`);
  send();
  const timer = setInterval(send, 1000);
  response.on('close', () => clearInterval(timer));
}

// An answer that takes as long as the visitor asks, at most a minute: /slow?wait=2s
function slow(url, response) {
  const wait = Math.min(ms(url.searchParams.get('wait') || '1s') || 0, 60_000);
  setTimeout(() => text(response, 200, `${VERSION} after ${ms(wait)}\n`), wait);
}

// What is sent comes back while it is being sent.
function mirror(request, response) {
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  request.pipe(response);
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  switch (`${request.method} ${url.pathname}`) {
    case 'GET /': case 'HEAD /': return front(request, response);
    case 'GET /healthz': return text(response, 200, 'ok\n');
    case 'GET /events': return events(request, response);
    case 'GET /slow': return slow(url, response);
    case 'POST /mirror': return mirror(request, response);
    default: return text(response, 404, 'there is nothing here\n');
  }
});

server.on('upgrade', (request, socket) => websocket.echo(request, socket));
server.listen(PORT, '0.0.0.0', () => console.log(`listening on port ${PORT}`));

// Requests in flight get their answers, idle connections are closed.
process.on('SIGTERM', () => {
  console.log('SIGTERM: finishing what is in flight');
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
