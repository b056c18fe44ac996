package bench_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/outcry-mqtt/outcry/bench"
)

// adapter is a server of rooms with a dialect: answer returns the reply to a message and a message to others.
type adapter struct {
	kind   int // of WebSocket messages
	hello  string
	answer func(message string) (answer, join, room, broadcast string)

	mu    sync.Mutex
	rooms map[string][]*websocket.Conn
}

func (a *adapter) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	c, err := new(websocket.Upgrader).Upgrade(out, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	if a.hello != "" {
		a.send(c, a.hello)
	}
	for {
		_, message, err := c.ReadMessage()
		if err != nil {
			return
		}
		answer, join, room, broadcast := a.answer(string(message))
		if join != "" {
			a.mu.Lock()
			a.rooms[join] = append(a.rooms[join], c)
			a.mu.Unlock()
		}
		if answer != "" {
			a.send(c, answer)
		}
		a.mu.Lock()
		members := a.rooms[room]
		a.mu.Unlock()
		for _, member := range members {
			a.send(member, broadcast)
		}
	}
}

func (a *adapter) send(c *websocket.Conn, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = c.WriteMessage(a.kind, []byte(text))
}

func bareRooms() *adapter {
	return &adapter{kind: websocket.BinaryMessage, answer: func(m string) (answer, join, room, broadcast string) {
		if m[0] == 'j' {
			return "j", m[1:], "", ""
		}
		end := 2 + int(m[1])
		return "", "", m[2:end], "m" + m[end:]
	}}
}

func socketIO() *adapter {
	return &adapter{
		kind: websocket.TextMessage, hello: `0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`,
		answer: func(m string) (answer, join, room, broadcast string) {
			parts := strings.Split(m, `"`)
			switch {
			case m == "40":
				return `40{"sid":"y"}`, "", "", ""
			case m == "3":
				return "", "", "", ""
			case strings.HasPrefix(m, "420"):
				return "430[]", parts[3], "", ""
			}
			return "2", "", parts[3], `42["m","` + parts[5] + `"]` // and a ping to the publisher
		},
	}
}

// Servers without MQTT are loaded and checked like brokers.
func TestDialects(t *testing.T) {
	for dialect, server := range map[bench.Dialect]*adapter{bench.Rooms: bareRooms(), bench.SocketIO: socketIO()} {
		t.Run(string(dialect), func(t *testing.T) {
			server.rooms = map[string][]*websocket.Conn{}
			s := httptest.NewServer(server)
			t.Cleanup(s.Close)
			u := brokerURL(t, "ws"+strings.TrimPrefix(s.URL, "http"))
			for _, o := range []bench.Options{
				{Scenario: bench.Fanout, Subscribers: 6, Publishers: 3, Topics: 2, Window: 5},
				{Scenario: bench.Conns, Clients: 20},
			} {
				o.URL, o.Dialect, o.SubscribeQoS, o.Duration = u, dialect, -1, measureTime
				mustPass(t, run(t, o))
			}
		})
	}
}

func TestWhatDialectsCannot(t *testing.T) {
	u := brokerURL(t, "ws://127.0.0.1:1")
	for name, o := range map[string]bench.Options{
		"unknown":  {Dialect: "morse", URL: u},
		"TCP":      {Dialect: bench.Rooms, URL: brokerURL(t, "mqtt://127.0.0.1:1")},
		"QoS":      {Dialect: bench.Rooms, URL: u, QoS: 1},
		"payload":  {Dialect: bench.SocketIO, URL: u, Payload: 16},
		"wildcard": {Dialect: bench.SocketIO, URL: u, Wildcard: true},
		"prefix":   {Dialect: bench.SocketIO, URL: u, Prefix: `"`},
	} {
		t.Run(name, func(t *testing.T) {
			o.Scenario = bench.Fanout
			if _, err := bench.Run(t.Context(), o); err == nil || strings.Contains(err.Error(), "refused") {
				t.Errorf("error %v", err)
			}
		})
	}
}
