// Rooms and broadcasts on bare WebSockets: node ws.mjs WS-PORT
//
// A client sends j and a room to join it, and is answered j. It sends p, the length of a room in a byte, the room and a
// payload; everybody in the room gets m and the payload.
import { WebSocketServer } from 'ws';

const rooms = new Map(); // name -> Set of sockets

const join = (socket, room) => {
  if (!rooms.has(room)) rooms.set(room, new Set());
  rooms.get(room).add(socket);
  socket.on('close', () => rooms.get(room).delete(socket));
  socket.send('j', { binary: true });
};

const publish = (data) => {
  const end = 2 + data[1];
  const room = data.latin1Slice(2, end);
  const message = data.subarray(end - 1);
  message[0] = 0x6d; // m, in place of the room's last letter
  for (const socket of rooms.get(room) ?? []) socket.send(message);
};

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]), perMessageDeflate: false });
server.on('connection', (socket, request) => {
  request.socket.setNoDelay(true);
  socket.on('error', () => socket.terminate());
  socket.on('message', (data) => {
    if (data[0] === 0x6a) join(socket, data.latin1Slice(1));
    else publish(data);
  });
});
