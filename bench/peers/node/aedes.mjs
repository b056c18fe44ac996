// aedes with nothing added: node aedes.mjs TCP-PORT WS-PORT TLS-PORT CERTIFICATE KEY
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createServer as createHTTP } from 'node:http';
import { createServer as createTLS } from 'node:tls';
import { Aedes } from 'aedes';
import { WebSocketServer, createWebSocketStream } from 'ws';

const [tcp, ws, tls] = process.argv.slice(2, 5).map(Number);
const [cert, key] = process.argv.slice(5).map((file) => readFileSync(file));
const broker = await Aedes.createBroker({ concurrency: 100_000, queueLimit: 100_000 });

createServer({ noDelay: true }, broker.handle).listen(tcp, '127.0.0.1');
createTLS({ cert, key, noDelay: true }, broker.handle).listen(tls, '127.0.0.1');

const http = createHTTP();
http.on('connection', (socket) => socket.setNoDelay(true));
new WebSocketServer({ server: http, handleProtocols: () => 'mqtt' }).on('connection', (socket, request) => {
  broker.handle(createWebSocketStream(socket), request);
});
http.listen(ws, '127.0.0.1');
