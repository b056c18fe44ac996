package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// secrets remembers what must not be told. Each is known by its beginning, so that a part of it is found, too.
type secrets struct{ text, of []string }

// most is how much of a secret may be told.
const most = 12

// keep has a text looked for.
func (s *secrets) keep(of, text string) string {
	s.text, s.of = append(s.text, text[:min(len(text), most)]), append(s.of, of)
	return text
}

// fresh makes up a secret, and looks for it as it is and as it would stand in JSON and dumps.
func (s *secrets) fresh(of string) string {
	text := rand.Text()
	s.keep(of, text)
	s.keep(of+" in hex", hex.EncodeToString([]byte(text)))
	s.keep(of+" in base64", base64.StdEncoding.EncodeToString([]byte(text)))
	return text
}

// token has what stands in a token and its signature looked for; its header says nothing.
func (s *secrets) token(of, text string) string {
	parts := strings.Split(text, ".")
	s.keep("the claims of "+of, parts[1][len(parts[1])-most:]) // they begin alike
	s.keep("the signature of "+of, parts[2])
	return text
}

// check looks for all of them.
func (s *secrets) check(t *testing.T, where, text string) {
	t.Helper()
	for i, secret := range s.text {
		if at := strings.Index(text, secret); at >= 0 {
			line := text[strings.LastIndexByte(text[:at], '\n')+1:]
			line, _, _ = strings.Cut(line, "\n")
			t.Errorf("%s tells of %s: %s", where, s.of[i], line)
		}
	}
}

// noise is clients of all kinds that do right and wrong, with secrets in all that they send.
type noise struct {
	t *testing.T
	*secrets
	p                             *process
	good, expired, forged, nobody string // tokens
}

// A noisy run at the level debug logs no password, token or payload that was used, nor what the files have in them.
func TestNothingSecretIsLogged(t *testing.T) {
	dir, s := t.TempDir(), &secrets{}
	writeFiles(t, dir, s)
	p := startServe(t, dir)
	n := &noise{t: t, secrets: s, p: p}
	n.mintTokens(filepath.Join(dir, "data", "secret"))
	n.logins()
	n.messages()
	n.malformed()
	n.upgrades()
	n.operator()
	n.reloads(dir)
	p.stop()
	s.check(t, "standard output", p.stdout.String())
	log := p.stderr.String()
	s.check(t, "the log", log)
	for _, told := range []string{`msg="client refused"`, `msg="protocol violation"`, `msg="not reloaded, the old one stays"`} {
		if !strings.Contains(log, told) {
			t.Errorf("the run was not noisy: no %s in\n%s", told, log)
		}
	}
}

func writeFiles(t *testing.T, dir string, s *secrets) {
	t.Helper()
	users := filepath.Join(dir, "users")
	if status, _, stderr := call(t, s.fresh("bob's password")+"\n", "passwd", users, "bob", "--stdin"); status != 0 {
		t.Fatal(stderr)
	}
	hash, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(strings.TrimSpace(string(hash)), "$") {
		if len(part) > 20 {
			s.keep("bob's hash", part)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ops"), []byte(s.fresh("the operator's token")+s.fresh("its end")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	writeConfig(t, dir, `log: {level: debug}
auth:
  password_file: users
  jwt: {from: [password, username, bearer, cookie], cookie: session}
http: {token_file: ops}
rules:
  - {access: allow, who: ["*"], topics: ["open/#"]}
`)
}

func (n *noise) mintTokens(file string) {
	found, err := jwt.SecretFile{Path: file}.Keys()
	if err != nil {
		n.t.Fatal(err)
	}
	key := found[0].Value.([]byte)
	n.keep("the signing secret", string(key))
	n.keep("the signing secret in base64", base64.StdEncoding.EncodeToString(key))
	n.keep("the signing secret in hex", hex.EncodeToString(key))
	mint := func(of string, key []byte, claims gojwt.MapClaims) string {
		text, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, claims).SignedString(key)
		if err != nil {
			n.t.Fatal(err)
		}
		return n.token(of, text)
	}
	later, before := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	n.good = mint("the good token", key, gojwt.MapClaims{"sub": "ann", "exp": later, "note": n.fresh("a claim")})
	n.expired = mint("the expired token", key, gojwt.MapClaims{"exp": before, "sub": "ann"})
	n.forged = mint("the forged token", []byte(rand.Text()), gojwt.MapClaims{"sub": "root", "exp": later})
	n.nobody = mint("the token of nobody", key, gojwt.MapClaims{"aud": "x", "exp": later})
}

func (n *noise) dial(listener string) net.Conn {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.p.addresses[listener])
	if err != nil {
		n.t.Fatal(err)
	}
	return conn
}

func (n *noise) login(version byte, user, password string) *raw.Client {
	n.t.Helper()
	c := raw.New(n.t, n.dial("tcp"), version)
	k := raw.Connect{Version: version, ID: "c", Clean: true, User: &user, Password: &password}
	k.Will = &raw.Will{Topic: "open/will", Payload: n.fresh("a will"), QoS: 1, Retain: true}
	c.SendConnect(k)
	return c
}

// logins are right and wrong ones, with what is shown in every place for it.
func (n *noise) logins() {
	for _, version := range []byte{raw.V5, raw.V311} {
		for _, l := range []struct {
			user, password string
			ok             bool
		}{
			{"ann", n.good, true}, {"ann", n.expired, false}, {"ann", n.forged, false}, {"ann", n.nobody, false},
			{"ann", n.good[:len(n.good)-5], false}, {"ann", n.good + "." + n.fresh("a token's end"), false},
			{n.good, "", true}, {n.expired, "", false}, {n.forged, n.fresh("a password beside a token"), false}, {n.nobody, "", false},
			{"bob", n.fresh("a wrong password"), false}, {"carol", n.fresh("a stranger's password"), false},
			{"", n.fresh("nobody's password"), false},
		} {
			c := n.login(version, l.user, l.password)
			if got := c.Expect(raw.CONNACK); (got.Code == 0) != l.ok {
				n.t.Errorf("a login: %v, want accepted %v", got, l.ok)
			}
			c.Close()
		}
	}
	c := raw.New(n.t, n.dial("tcp"), raw.V5)
	c.SendConnect(raw.Connect{Version: raw.V5, ID: "c", Props: raw.Props{
		raw.Txt(raw.AuthMethod, "SCRAM-SHA-1"), raw.Txt(raw.AuthData, n.fresh("authentication data")),
	}})
	c.ExpectRefused(0x8C)
}

// messages are payloads and properties, on topics that are allowed and that are not.
func (n *noise) messages() {
	for _, version := range []byte{raw.V5, raw.V311} {
		c := n.login(version, "", n.good)
		c.Expect(raw.CONNACK)
		for qos := range byte(3) {
			for _, topic := range []string{"open/a", "shut/a", "$SYS/a"} {
				m := raw.Publish{Topic: topic, Payload: n.fresh("a payload"), QoS: qos, Retain: true}
				if version == raw.V5 {
					m.Props = raw.Props{raw.Txt(raw.CorrelationData, n.fresh("correlation data")), raw.Txt(raw.ContentType, n.fresh("a content type"))}
				}
				c.Publish(m)
			}
		}
		c.Subscribe(0, "open/none", "shut/#")
		c.Send(raw.Publish{Topic: "open/a/#", Payload: n.fresh("a payload on a filter")}.Bytes(version))
		c.ExpectEnd(0x90)
	}
}

// malformed are packets that break off, or go on, where secrets are.
func (n *noise) malformed() {
	user, password := "ann", n.fresh("a password in a malformed packet")
	for _, version := range []byte{raw.V5, raw.V311} {
		hello := raw.Connect{Version: version, ID: "c", Clean: true, User: &user, Password: &password,
			Will: &raw.Will{Topic: "open/\xff" + n.fresh("a malformed topic"), Payload: n.fresh("a malformed will")}}.Bytes()
		whole := raw.Connect{Version: version, ID: "c", User: &user, Password: &password}.Bytes()
		for _, packet := range [][]byte{
			hello,
			append([]byte{whole[0], whole[1] + 4}, append(bytes.Clone(whole[2:]), "tail"...)...),
			[]byte("GET /" + n.fresh("a request for a page") + " HTTP/1.1\r\nCookie: " + n.fresh("a cookie") + "\r\n\r\n"),
			raw.Packet(raw.PUBLISH.Header(), raw.Str("open/a"), []byte(n.fresh("a payload before CONNECT"))),
		} {
			n.throw(n.dial("tcp"), packet)
		}
		for _, packet := range [][]byte{
			raw.Packet(raw.PUBLISH.Header(), raw.Str("open/\x00"+n.fresh("a topic with NUL")), []byte(n.fresh("a payload behind it"))),
			raw.Packet(raw.PUBLISH.Header()|6, raw.Str("open/a"), []byte(n.fresh("a payload of QoS 3"))),
			raw.Packet(raw.PUBLISH.Header(), raw.U16(60000), []byte(n.fresh("a topic that breaks off"))),
			raw.Packet(raw.SUBSCRIBE.Header(), raw.U16(1), []byte{0}, raw.Str("\xff"+n.fresh("a filter")), []byte{0}),
			raw.Packet(raw.AUTH.Header(), []byte{0x18}, []byte(n.fresh("malformed authentication"))),
			raw.Packet(raw.DISCONNECT.Header(), []byte{0x04}, []byte(n.fresh("last words"))),
			raw.Packet(raw.CONNECT.Header(), whole[2:]),
		} {
			c := n.login(version, "", n.good)
			c.Expect(raw.CONNACK)
			c.Send(packet)
			for _, err := c.Read(); err == nil; _, err = c.Read() {
			}
		}
	}
}

// throw sends bytes, and waits until the server has hung up.
func (n *noise) throw(conn net.Conn, packet []byte) {
	n.t.Helper()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(packet); err != nil {
		return // it hung up while it was being written to
	}
	_, err := io.Copy(io.Discard, conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		n.t.Error("the server did not hang up")
	}
}

// upgrades are WebSockets, with tokens in their headers, and requests that are none.
func (n *noise) upgrades() {
	handshake := "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n" +
		"Sec-WebSocket-Protocol: mqtt\r\n"
	basic := base64.StdEncoding.EncodeToString([]byte("ann:" + n.fresh("a password of HTTP")))
	n.keep("a password of HTTP in its header", basic)
	for _, headers := range []string{
		"Authorization: Bearer " + n.good, "Authorization: Bearer " + n.expired, "Authorization: Bearer " + n.forged,
		"Authorization: Bearer " + n.fresh("a bearer that is no token"), "Authorization: Basic " + basic,
		"Cookie: session=" + n.expired, "Cookie: session=" + n.good + "; other=" + n.fresh("another cookie"),
		"Cookie: session=" + n.fresh("a cookie that is no token"),
	} {
		conn := n.upgrade("/mqtt?token="+n.fresh("a token in the query"), handshake+headers)
		c := raw.New(n.t, raw.NewFrames(conn), raw.V5)
		c.SendConnect(raw.Connect{Version: raw.V5, ID: "w", Clean: true})
		c.Expect(raw.CONNACK)
		n.throw(conn, []byte(n.fresh("what is no frame")+n.fresh("what is no frame")))
	}
	for _, request := range []string{
		"GET /mqtt HTTP/1.1\r\nHost: " + n.p.addresses["ws"] + "\r\nOrigin: https://evil.example\r\nAuthorization: Bearer " + n.good + "\r\n" +
			strings.Replace(handshake, "Connection: Upgrade", "Connection: Upgrade, close", 1) + "\r\n",
		"GET /mqtt HTTP/1.1\r\nHost: x\r\nCookie: session=" + n.fresh("a cookie of no upgrade") + "\r\nConnection: close\r\n\r\n",
		"GET /" + n.fresh("a path") + "?password=" + n.fresh("a query") + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /mqtt HTTP/1.1\r\nHost: x\r\nAuthorization " + n.fresh("a malformed header") + "\r\n\r\n",
		n.fresh("what is no request") + "\r\n\r\n",
	} {
		n.throw(n.dial("ws"), []byte(request))
	}
}

// upgrade opens a WebSocket.
func (n *noise) upgrade(path, headers string) net.Conn {
	n.t.Helper()
	conn := n.dial("ws")
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+n.p.addresses["ws"]+"\r\n"+headers+"\r\n\r\n"); err != nil {
		n.t.Fatal(err)
	}
	var answer []byte
	for one := make([]byte, 1); !bytes.HasSuffix(answer, []byte("\r\n\r\n")); answer = append(answer, one[0]) {
		if _, err := conn.Read(one); err != nil {
			n.t.Fatalf("%v behind %q", err, answer)
		}
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) {
		n.t.Fatalf("not upgraded: %q", answer)
	}
	return conn
}

// operator asks the operator's HTTP, rightly and wrongly.
func (n *noise) operator() {
	ops, err := os.ReadFile(filepath.Join(n.p.cmd.Dir, "ops"))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, bearer := range []string{strings.TrimSpace(string(ops)), n.fresh("a wrong token of the operator"), n.good} {
		n.throw(n.dial("http"), []byte("GET /metrics?q="+n.fresh("a query to the operator")+" HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "+
			bearer+"\r\nConnection: close\r\n\r\n"))
	}
}

// reloads are of files with mistakes, beside which secrets stand.
func (n *noise) reloads(dir string) {
	write := func(name, text string) {
		n.t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			n.t.Fatal(err)
		}
		after := n.p.stderr.after()
		n.p.signal(syscall.SIGHUP)
		n.p.waitFor(n.p.stderr, after, "not reloaded, the old one stays")
	}
	write("users", "carol:"+n.fresh("a password that is not hashed")+"\n")
	write("users", "carol:$2y$99$"+n.fresh("a hash that is broken")+"\n")
	write("users", "carol "+n.fresh("a line without a colon")+"\n")
	write(filepath.Join("data", "secret"), n.fresh("a secret that is too short")[:most])
	write("config.yaml", "auth:\n  jwt:\n    secret: "+n.fresh("a secret under an unknown key")+"\n")
	write("config.yaml", "auth: {jwt: {secret_file: [\""+n.fresh("a secret in a wrong shape")+"\"]}}\n")
	write("config.yaml", "auth: {jwt: {leeway: {secret: "+n.fresh("a secret in a wrong place")+"}}}\n")
}
