package jwt_test

import (
	"context"
	"crypto"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// BenchmarkVerify measures the first use of a token, by algorithm.
func BenchmarkVerify(b *testing.B) {
	k := keys()
	for _, c := range []struct {
		algorithm string
		key       any
	}{
		{"HS256", secret}, {"HS384", secret}, {"HS512", secret},
		{"RS256", k.rsa}, {"RS384", k.rsa}, {"RS512", k.rsa}, {"PS256", k.rsa}, {"PS384", k.rsa}, {"PS512", k.rsa},
		{"ES256", k.p256}, {"ES384", k.p384}, {"ES512", k.p521}, {"EdDSA", k.ed},
	} {
		b.Run(c.algorithm, func(b *testing.B) {
			a, credentials := authenticatorFor(b, c.algorithm, c.key, -1)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), credentials); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkCached measures a cached token.
func BenchmarkCached(b *testing.B) {
	a, credentials := authenticatorFor(b, "ES256", keys().p256, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(b.Context(), credentials); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefused measures a forged token, which is never cached.
func BenchmarkRefused(b *testing.B) {
	a, credentials := authenticatorFor(b, "ES256", keys().p256, 0)
	last := &credentials.Password[len(credentials.Password)-4]
	*last ^= 'A' ^ 'B'
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(b.Context(), credentials); err == nil {
			b.Fatal("accepted")
		}
	}
}

// authenticatorFor returns an Authenticator with a key, and a token signed by it.
func authenticatorFor(b *testing.B, algorithm string, key any, cacheSize int) (*jwt.Authenticator, *broker.Credentials) {
	b.Helper()
	signing := jwt.SigningKey{ID: "k", Algorithm: algorithm, Value: key}
	token, err := jwt.Mint(jwt.MintOptions{Key: signing, User: "ann", Rooms: []string{"lobby"}, Now: atNoon})
	if err != nil {
		b.Fatal(err)
	}
	if private, ok := key.(crypto.Signer); ok {
		key = private.Public()
	}
	a := mustNew(b, setup{Keys: []jwt.KeySource{jwt.Key{ID: "k", Algorithm: algorithm, Value: key}}, CacheSize: cacheSize})
	runtime.GC()
	return a, &broker.Credentials{Username: "ann", Password: []byte(token)}
}

// BenchmarkConnect measures a connection with a new ES256 token, client and broker together: with -cpu 1 its
// connects/s are those of one processor for both.
func BenchmarkConnect(b *testing.B) {
	address := serve(b, mustNew(b, setup{
		Keys: []jwt.KeySource{jwt.Key{Value: &keys().p256.PublicKey}}, CacheSize: -1,
	}))
	packets := make([][]byte, 500)
	for i := range packets {
		user := fmt.Sprint("user-", i)
		token, err := jwt.Mint(jwt.MintOptions{Key: jwt.SigningKey{Value: keys().p256}, User: user, Now: atNoon})
		if err != nil {
			b.Fatal(err)
		}
		packets[i] = connectPacket(user, token)
	}
	var next atomic.Int64
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := connect(address, packets[next.Add(1)%int64(len(packets))]); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "connects/s")
}

// serve runs a broker with the hook and returns its address.
func serve(b *testing.B, a *jwt.Authenticator) string {
	b.Helper()
	mqtt, err := broker.New(broker.Options{Hooks: []any{a}})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mqtt.Run(context.Background()) }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = mqtt.Attach(broker.Conn{Conn: c, Listener: "tcp"})
		}
	}()
	b.Cleanup(func() {
		l.Close()
		_ = mqtt.Shutdown(context.Background())
		<-ended
	})
	return l.Addr().String()
}

// connectPacket returns a CONNECT of MQTT 3.1.1 with the user as client identifier and user name.
func connectPacket(user, token string) []byte {
	text := func(p []byte, s string) []byte { return append(binary.BigEndian.AppendUint16(p, uint16(len(s))), s...) }
	body := append(text(nil, "MQTT"), 4, 0b1100_0010, 0, 60)
	body = text(text(text(body, user), user), token)
	return append(append([]byte{0x10}, binary.AppendUvarint(nil, uint64(len(body)))...), body...)
}

// connect connects, waits for the CONNACK and closes.
func connect(address string, packet []byte) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(packet); err != nil {
		return err
	}
	var answer [4]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if answer != [4]byte{0x20, 2, 0, 0} {
		return fmt.Errorf("refused: %x", answer)
	}
	return nil
}
