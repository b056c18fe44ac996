package broker

import "sync"

// Memory is clients of a broker through memory: without sockets, descriptors or goroutines, so that there may be more of
// them than the system lets a process open. Between the system calls that are left out everything is as with sockets.
type Memory struct {
	b     *Broker
	pipes []pipe // of each shard
	conns []*conn
	homes []uint8 // the shard that each of conns is on
}

// pipe carries the connections of one shard, and belongs to it. What is written to it is counted and forgotten.
type pipe struct{ writes, bytes int }

func (p *pipe) start(*sync.WaitGroup) {}
func (p *pipe) settle(*shard)         {}
func (p *pipe) proceed()              {}
func (p *pipe) close()                {}

func (p *pipe) write(head, data []byte, _ bool) int {
	p.writes++
	p.bytes += len(data)
	return len(head) + len(data)
}

// NewMemory prepares a number of clients for a running broker.
func NewMemory(b *Broker, clients int) *Memory {
	return &Memory{b: b, pipes: make([]pipe, len(b.shards)), conns: make([]*conn, 0, clients), homes: make([]uint8, 0, clients)}
}

// Arrival is a client that comes.
type Arrival struct {
	ID, Remote string
	Framed     bool
	Connect    []byte // what it sends: its CONNECT, in a frame if Framed
}

// Connect lets clients in, and returns the number of the first of them. It does not wait for their CONNACKs.
func (m *Memory) Connect(all []Arrival) (first int) {
	first = len(m.conns)
	for i := range all {
		m.add(&all[i])
	}
	came := m.conns[first:]
	for at, s := range m.b.shards {
		s.post(call(func(s *shard) {
			for i := at; i < len(came); i += len(m.b.shards) { // as Attach deals them out
				came[i].begin(s)
				came[i].read(all[i].Connect)
			}
		}))
	}
	return first
}

func (m *Memory) add(a *Arrival) {
	home := m.b.owner(a.ID).index
	p, _ := m.b.Admit(a.Remote)
	m.b.connections.Add(1)
	c := &conn{b: m.b, listener: "memory", remote: a.Remote, identity: identity{problemInfo: true}, fd: -1, carrier: &m.pipes[home]}
	c.use(p)
	if a.Framed {
		c.ws = new(webSocket)
		c.ws.ping = 250
	}
	m.conns, m.homes = append(m.conns, c), append(m.homes, uint8(home))
}

// Send has clients, from one number to before another, send a packet each, in a frame if they are framed. It does not
// wait for answers.
func (m *Memory) Send(from, to int, packet func(client int) []byte) {
	conns, homes := m.conns[from:to], m.homes[from:to]
	for at, s := range m.b.shards {
		s.post(call(func(*shard) {
			for i, c := range conns {
				if int(homes[i]) == at {
					c.read(packet(from + i))
				}
			}
		}))
	}
}

// read is what readable does with a socket.
func (c *conn) read(packet []byte) {
	n := copy(c.shard.input.read, packet)
	c.received(c.shard.input.read[:n])
}

// Repeat has a client send a packet a number of times, each in a turn of its own.
func (m *Memory) Repeat(client int, packet []byte, times int) {
	c := m.conns[client]
	var again call
	again = func(s *shard) {
		c.read(packet)
		if times--; times > 0 {
			s.post(again)
		}
	}
	m.b.shards[m.homes[client]].post(again)
}

// Written is how often the broker has written to the clients, and how many bytes of packets.
func (m *Memory) Written() (writes, bytes int) {
	for i, s := range m.b.shards {
		done := make(chan struct{})
		if s.post(call(func(*shard) {
			writes += m.pipes[i].writes
			bytes += m.pipes[i].bytes
			close(done)
		})) {
			<-done
		}
	}
	return writes, bytes
}
