// Rooms and broadcasts of Socket.IO, over WebSocket only: node socketio.mjs WS-PORT
//
// A client emits join with a room, which is acknowledged, and say with a room and a text; everybody in the room gets the
// event m with the text.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const http = createServer();
http.on('connection', (socket) => socket.setNoDelay(true));
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false, httpCompression: false, serveClient: false });
io.on('connection', (socket) => {
  socket.on('join', (room, joined) => {
    socket.join(room);
    joined();
  });
  socket.on('say', (room, text) => io.to(room).emit('m', text));
});
http.listen(Number(process.argv[2]), '127.0.0.1');
