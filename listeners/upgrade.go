package listeners

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/outcry-mqtt/outcry/broker"
)

// keptHeaders are the headers of the upgrade that an authenticator gets to see. What those of proxies say is the link's
// address, if it is to be believed.
var keptHeaders = []string{"Authorization", "Cookie", "Origin", "User-Agent"}

// tellError is what websocket.Upgrader calls its Error.
type tellError = func(rw http.ResponseWriter, r *http.Request, status int, err error)

// upgrade makes a WebSocket of the connection and hands it over.
func (w *WebSocket) upgrade(rw http.ResponseWriter, r *http.Request) {
	joinSubprotocols(r.Header)
	if no, ok := w.refusal(r); ok {
		w.refuse(rw, r, no)
		return
	}
	link, err := w.open(rw, r, func(rw http.ResponseWriter, r *http.Request, status int, err error) {
		w.refuse(rw, r, refusal{status, err.Error()})
	})
	if err != nil {
		return // the client has been told, or is gone
	}
	attach(w.attacher, link, w.refusals)
}

// open makes a WebSocket of a connection that refusal has no objection to. Tell is called with what is wrong with the
// request, if something is; once the connection is hijacked an error only means that it has ended.
func (w *WebSocket) open(rw http.ResponseWriter, r *http.Request, tell tellError) (broker.Link, error) {
	upgrader := w.upgrader
	upgrader.Error = tell
	upgrader.EnableCompression = w.compression && offersDeflate(r.Header)
	c, err := upgrader.Upgrade(rw, r, nil)
	if err != nil {
		return broker.Link{}, err
	}
	return broker.Link{
		Conn: unwrap(c.NetConn()), Listener: w.name, Framed: true, Deflate: upgrader.EnableCompression,
		Header: keep(r.Header), TLS: r.TLS, Remote: w.forwarded.client(r), Pass: guestOf(c.NetConn()).hand(),
	}, nil
}

// keep returns a copy of the headers in keptHeaders.
func keep(all http.Header) http.Header {
	kept := http.Header{}
	for _, name := range keptHeaders {
		if values, ok := all[name]; ok {
			kept[name] = slices.Clone(values)
		}
	}
	return kept
}

// joinSubprotocols makes one header of several, which mean the same (RFC 6455 11.3.4).
func joinSubprotocols(h http.Header) {
	const name = "Sec-Websocket-Protocol"
	if values := h[name]; len(values) > 1 {
		h[name] = []string{strings.Join(values, ", ")}
	}
}

// refusal is an answer to a request that does not become a WebSocket.
type refusal struct {
	status int
	text   string
}

// refusal tells why a request is refused, if it is.
func (w *WebSocket) refusal(r *http.Request) (refusal, bool) {
	if !websocket.IsWebSocketUpgrade(r) {
		return refusal{http.StatusUpgradeRequired, "this is MQTT over WebSocket: connect with an MQTT client, " +
			"such as MQTT.js: mqtt.connect(\"ws://host:port" + r.URL.EscapedPath() + "\")"}, true
	}
	if !w.origins.allow(r) {
		text := fmt.Sprintf("pages of %q may not connect; add the origin to %s.origins", r.Header.Get("Origin"), w.configKey)
		return refusal{http.StatusForbidden, text}, true
	}
	offered := websocket.Subprotocols(r)
	if len(offered) == 0 && !w.needProtocol {
		return refusal{}, false
	}
	if !slices.ContainsFunc(offered, spoken) {
		text := fmt.Sprintf("none of the subprotocols offered (%s) is spoken here; "+
			"offer \"mqtt\" in Sec-WebSocket-Protocol", strings.Join(offered, ", "))
		return refusal{http.StatusBadRequest, text}, true
	}
	return refusal{}, false
}

func spoken(subprotocol string) bool { return slices.Contains(Subprotocols, subprotocol) }

// refuse answers with why not. What strangers typed into an address bar is not worth a line in the log.
func (w *WebSocket) refuse(rw http.ResponseWriter, r *http.Request, no refusal) {
	h := rw.Header()
	h.Set("Sec-WebSocket-Version", "13")
	level := slog.LevelWarn
	if no.status == http.StatusUpgradeRequired {
		h.Set("Upgrade", "websocket")
		h.Set("Connection", "Upgrade")
		level = slog.LevelDebug
	}
	w.refused.Log(level, "websocket refused", "remote", w.forwarded.client(r), "status", no.status, "reason", no.text)
	http.Error(rw, no.text, no.status)
}
