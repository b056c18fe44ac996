package attacks_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// Ten thousand browsers reconnect at once after a network failure, each with a token (ES256) that is not cached, and
// retry at once when they are refused. The storm settles by itself: at the end all are connected, and other clients
// keep working.
func TestStormWithTokens(t *testing.T) {
	n := connectionCount(t)
	key, _ := newKey(t)
	s := serve(t, append(set(
		"auth.jwt.secret_file=none", "auth.jwt.keys=[{file: "+publicKey(t, key)+", alg: ES256}]",
		`rules=[{access: allow, who: ["*"], topics: ["witness/#"]}]`,
	), "--open=0")...)
	password := token(t, key, "witness")
	ws := s.honestClients(5, password, "tcp", "ws")
	st := &storm{t: t, target: socketAddress(t, s.Address("ws")), browsers: make([]browser, n)}
	t.Cleanup(st.leave)
	for i := range st.browsers {
		secret := token(t, key, fmt.Sprint("user-", i))
		k := raw.Connect{Version: raw.V5, ID: fmt.Sprint("browser-", i), Clean: true, KeepAlive: 600, Password: &secret}
		st.browsers[i].connect = raw.Frame(raw.OpBinary, true, k.Bytes())
	}
	before := s.memory("VmRSS")
	for round := range 2 {
		began := time.Now()
		st.begin()
		eventually(t, "everybody is in", st.advance)
		t.Logf("round %d: %d were in after %v, %d attempts in vain", round, n, time.Since(began).Round(time.Millisecond), st.inVain)
		s.wantClients(n + len(ws.all))
		s.newcomers(3, password, "tcp", "ws")
		st.leave()
	}
	s.wantClients(len(ws.all))
	ws.finish()
	if accepted := s.metric("outcry_jwt_accepted_total "); accepted < float64(2*n) {
		t.Errorf("%v tokens were accepted, want %d at least", accepted, 2*n)
	}
	s.wantGrowth(before, int64(n)*(20<<10))
}

// storm is a number of browsers that reconnect.
type storm struct {
	t        *testing.T
	target   *syscall.SockaddrInet4
	browsers []browser
	inVain   int // failed attempts
	buf      [4096]byte
}

type browser struct {
	fd      int
	open    bool
	stage   int // progress of the upgrade and of CONNECT
	connect []byte
}

// The stages of a browser.
const (
	dialed = iota
	asked
	connecting
	in
)

// begin starts all connections.
func (st *storm) begin() {
	for i := range st.browsers {
		st.dial(&st.browsers[i])
	}
}

func (st *storm) dial(b *browser) {
	st.t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		st.t.Fatal(err)
	}
	b.fd, b.open, b.stage = fd, true, dialed
	if err := syscall.Connect(fd, st.target); err != nil && err != syscall.EINPROGRESS {
		st.t.Fatal("connect: ", err)
	}
}

func (st *storm) hangUp(b *browser) {
	if b.open {
		_ = syscall.Close(b.fd)
		b.open = false
	}
}

func (st *storm) leave() {
	for i := range st.browsers {
		st.hangUp(&st.browsers[i])
	}
}

// advance advances every browser, and reconnects the refused ones. It reports whether all are connected.
func (st *storm) advance() bool {
	all := true
	for i := range st.browsers {
		b := &st.browsers[i]
		if b.stage != in && !st.step(b) {
			st.inVain++
			st.hangUp(b)
			st.dial(b)
		}
		all = all && b.stage == in
	}
	return all
}

// step returns false if the attempt has failed.
func (st *storm) step(b *browser) bool {
	if b.stage == dialed {
		_, err := syscall.Write(b.fd, []byte(upgrade))
		if err == nil {
			b.stage = asked
		}
		return err == nil || err == syscall.EAGAIN || err == syscall.ENOTCONN
	}
	n, err := syscall.Read(b.fd, st.buf[:])
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return true
	}
	if err != nil || n == 0 {
		return false
	}
	if answer := st.buf[:n]; b.stage == asked {
		if beginning(answer) != "101" {
			return false
		}
		_, err := syscall.Write(b.fd, b.connect)
		b.stage = connecting
		return err == nil
	}
	const connack, accepted = 2, 5 // behind the header of the frame
	if n <= accepted || st.buf[connack] != byte(raw.CONNACK)<<4 || st.buf[accepted] != 0 {
		return false
	}
	b.stage = in
	return true
}

func token(t *testing.T, key *ecdsa.PrivateKey, user string) string {
	t.Helper()
	text, err := jwt.Mint(jwt.MintOptions{Key: jwt.SigningKey{Value: key}, User: user})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// publicKey writes a key's public half to a file.
func publicKey(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "PUBLIC KEY", der)
}
