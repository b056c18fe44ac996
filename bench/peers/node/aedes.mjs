// aedes with nothing added: node aedes.mjs TCP-PORT WS-PORT
import { createServer } from 'node:net';
import { createServer as createHTTP } from 'node:http';
import { Aedes } from 'aedes';
import { WebSocketServer, createWebSocketStream } from 'ws';

const [tcp, ws] = process.argv.slice(2).map(Number);
const broker = await Aedes.createBroker({ concurrency: 100_000, queueLimit: 100_000 });

createServer({ noDelay: true }, broker.handle).listen(tcp, '127.0.0.1');

const http = createHTTP();
http.on('connection', (socket) => socket.setNoDelay(true));
new WebSocketServer({ server: http, handleProtocols: () => 'mqtt' }).on('connection', (socket, request) => {
  broker.handle(createWebSocketStream(socket), request);
});
http.listen(ws, '127.0.0.1');
