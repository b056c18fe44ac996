package attacks_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

const (
	attackTime  = 500 * time.Millisecond // after the preparations
	attackLimit = 8 * time.Second        // including the preparations, which a busy broker may delay
)

// attacker has accounts and connections, obeys every limit, and tries to delay other clients.
type attacker struct {
	t      *testing.T
	s      *server
	most   time.Time     // when every connection is closed
	time   time.Duration // duration of the attack after the preparations
	ends   atomic.Int64  // end of the attack, in nanoseconds since 1970; 0: still being prepared
	addr   atomic.Int64  // number of connections; each is from the next address
	sent   atomic.Int64  // bytes
	agreed atomic.Int64  // granted subscriptions
	denied atomic.Int64  // denied subscriptions
	group  sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func newAttacker(t *testing.T, s *server) *attacker {
	return &attacker{t: t, s: s, most: time.Now().Add(attackLimit), time: attackTime}
}

// setDuration sets the attack's duration.
func (a *attacker) setDuration(d time.Duration) {
	a.time = d
	a.most = a.most.Add(d)
}

// addresses is the number of the attacker's addresses. Each has limits, such as max_half_open_per_address.
const addresses = 3

func (a *attacker) source() net.IP { return net.IPv4(127, 66, 0, byte(1+a.addr.Add(1)%addresses)) }

// isRunning reports whether the attack continues. The first call ends the preparations.
func (a *attacker) isRunning() bool {
	now := time.Now()
	if a.ends.CompareAndSwap(0, min(now.Add(a.time).UnixNano(), a.most.UnixNano())) {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, c := range a.conns {
			_ = c.SetDeadline(time.Unix(0, a.ends.Load()))
		}
	}
	return now.UnixNano() < a.ends.Load()
}

// each runs n copies of a part of the attack concurrently, and waits for them.
func (a *attacker) each(n int, part func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { part(i) })
	}
	all.Wait()
}

// flood has n clients send packets repeatedly until the attack ends.
func (a *attacker) flood(all []*hostile, packets func(i, n int) []byte) {
	a.isRunning()
	a.each(len(all), func(i int) {
		for n := 0; a.isRunning() && all[i].send(packets(i, n)); n++ {
		}
	})
}

// leave closes all connections without DISCONNECT.
func (a *attacker) leave() {
	a.mu.Lock()
	for _, c := range a.conns {
		c.Close()
	}
	a.conns = nil
	a.mu.Unlock()
	a.group.Wait()
}

// open opens a connection; nil: the broker refuses it.
func (a *attacker) open(listener string) net.Conn {
	conn, err := a.s.dialFrom(a.source(), listener)
	if err != nil {
		return nil
	}
	return a.own(conn)
}

func (a *attacker) own(conn net.Conn) net.Conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	until := a.most
	if ends := a.ends.Load(); ends != 0 {
		until = time.Unix(0, ends)
	}
	_ = conn.SetDeadline(until)
	a.conns = append(a.conns, conn)
	return conn
}

// deflate is the listener ws, with compression.
const deflate = "deflate"

// dialFrom opens an MQTT connection, from a given local address unless ip is nil.
func (s *server) dialFrom(ip net.IP, listener string) (net.Conn, error) {
	d := net.Dialer{Timeout: longestWait}
	if ip != nil {
		d.LocalAddr = &net.TCPAddr{IP: ip}
	}
	compress := listener == deflate
	if compress {
		listener = "ws"
	}
	conn, err := d.Dial("tcp", s.Address(listener))
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(longestWait))
	if ip != nil {
		_ = conn.(*net.TCPConn).SetLinger(0) // a closed connection leaves its port free
	}
	trust := &tls.Config{InsecureSkipVerify: true}
	if listener == "tls" {
		return tls.Client(conn, trust), nil
	}
	if listener == "tcp" {
		return conn, nil
	}
	up := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: longestWait, TLSClientConfig: trust,
		EnableCompression: compress, NetDial: func(string, string) (net.Conn, error) { return conn, nil }}
	ws, _, err := up.Dial(listener+"://"+s.Address(listener)+"/mqtt", nil)
	if err != nil {
		conn.Close()
		return nil, err
	}
	frames := raw.NewFrames(ws.NetConn())
	frames.Deflate = compress
	return frames, nil
}

// tokens are passwords by user. All brokers of these tests use the same key.
var tokens sync.Map

const tokenSecret = "a secret for the tests of attacks, long enough"

// connectAs returns a CONNECT of a user, with a session expiry interval in seconds.
func (s *server) connectAs(user, id string, expiry int) raw.Connect {
	password, ok := tokens.Load(user)
	if !ok {
		text, err := jwt.Mint(jwt.MintOptions{Key: jwt.SigningKey{Value: []byte(tokenSecret)}, User: user, TTL: time.Hour})
		if err != nil {
			panic(err)
		}
		password, _ = tokens.LoadOrStore(user, text)
	}
	text := password.(string)
	k := raw.Connect{Version: raw.V5, ID: id, Clean: expiry == 0, User: &user, Password: &text}
	if expiry > 0 {
		k.Props = raw.Props{raw.Num(raw.SessionExpiry, expiry)}
	}
	return k
}

// hostile is a client of the attacker. It never acknowledges, and perhaps never reads.
type hostile struct {
	a    *attacker
	conn net.Conn
	got  [16]atomic.Int64 // received packets by type
	over atomic.Bool
}

// client connects as a user, with a session expiry interval in seconds.
func (a *attacker) client(user, id string, expiry int) *hostile {
	return a.connect(a.s.connectAs(user, id, expiry), "tcp", false)
}

// clients connects n clients. name is the prefix of their names.
func (a *attacker) clients(n int, user, name string, expiry int) []*hostile {
	all := make([]*hostile, n)
	for i := range all {
		all[i] = a.client(user, fmt.Sprint(name, i), expiry)
	}
	return all
}

// nonReading connects n clients that never read.
func (a *attacker) nonReading(n int, user, name string, expiry int) []*hostile {
	all := make([]*hostile, n)
	for i := range all {
		all[i] = a.connect(a.s.connectAs(user, fmt.Sprint(name, i), expiry), "tcp", true)
	}
	return all
}

// connect connects and waits for CONNACK. A refused client does nothing afterwards.
func (a *attacker) connect(k raw.Connect, listener string, deaf bool) *hostile {
	h := &hostile{a: a, conn: a.open(listener)}
	if h.conn == nil {
		h.over.Store(true)
		return h
	}
	h.send(k.Bytes())
	if deaf {
		_, _ = h.packet(bufio.NewReaderSize(h.conn, 16))
		return h
	}
	a.group.Go(h.read)
	h.await(raw.CONNACK, 1)
	return h
}

func (h *hostile) close() {
	if h.conn != nil {
		h.conn.Close()
	}
}

// read counts packets until the connection ends.
func (h *hostile) read() {
	defer h.over.Store(true)
	r := bufio.NewReaderSize(h.conn, 4<<10)
	for {
		if _, err := h.packet(r); err != nil {
			return
		}
	}
}

// packet reads and counts a packet.
func (h *hostile) packet(r *bufio.Reader) (raw.Type, error) {
	header, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, err
	}
	t := raw.Type(header >> 4)
	if t == raw.SUBACK {
		body := make([]byte, n)
		if _, err = io.ReadFull(r, body); err == nil {
			h.count(body[3:]) // there are no properties
		}
	} else {
		_, err = r.Discard(int(n))
	}
	h.got[t].Add(1)
	return t, err
}

func (h *hostile) count(codes []byte) {
	for _, code := range codes {
		if code < 0x80 {
			h.a.agreed.Add(1)
		} else {
			h.a.denied.Add(1)
		}
	}
}

// send writes packets as fast as the broker takes them. It returns false if the connection has ended.
func (h *hostile) send(packets ...[]byte) bool {
	for _, p := range packets {
		if h.over.Load() {
			return false
		}
		n, err := h.conn.Write(p)
		h.a.sent.Add(int64(n))
		if err != nil {
			h.over.Store(true)
		}
	}
	return !h.over.Load()
}

// await waits for n packets of a type. It returns false if they do not come.
func (h *hostile) await(t raw.Type, n int64) bool {
	for h.got[t].Load() < n {
		if h.over.Load() {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

// ping waits until the broker has handled all packets of the client.
func (h *hostile) ping() bool {
	n := h.got[raw.PINGRESP].Load()
	return h.send(raw.Plain(raw.PINGREQ)) && h.await(raw.PINGRESP, n+1)
}

// subscribe subscribes to filters, a thousand in a packet, and waits for each SUBACK.
func (h *hostile) subscribe(filters []string, options byte, props ...raw.Prop) *hostile {
	for ; len(filters) > 0; filters = filters[min(1000, len(filters)):] {
		n := h.got[raw.SUBACK].Load()
		if !h.send(subscribe(filters[:min(1000, len(filters))], options, props...)) || !h.await(raw.SUBACK, n+1) {
			break
		}
	}
	return h
}
