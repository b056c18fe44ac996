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

// keptHeaders are the headers of the upgrade that authenticators get. The headers of trusted proxies are in the
// link's address already.
var keptHeaders = []string{"Authorization", "Cookie", "Origin", "User-Agent"}

// tellError is the type of websocket.Upgrader's Error.
type tellError = func(rw http.ResponseWriter, r *http.Request, status int, err error)

// upgrade upgrades the connection and hands it over.
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

// upgradeFirst is upgrade for the first request of a connection, before net/http has read it. If it returns false, net/http
// reads and answers the request.
func (w *WebSocket) upgradeFirst(rw http.ResponseWriter, r *http.Request, handOver func() bool) bool {
	if !slices.Contains(w.paths, r.URL.Path) || !w.hosts.allow(r.Host) {
		return false
	}
	joinSubprotocols(r.Header)
	if _, refused := w.refusal(r); refused {
		return false
	}
	link, err := w.open(rw, r, func(http.ResponseWriter, *http.Request, int, error) {})
	if err != nil {
		return false
	}
	if handOver() {
		attach(w.attacher, link, w.refusals)
	}
	return true
}

// open upgrades a connection that refusal accepts. It calls tell for an invalid request; after the hijack an error
// only means that the connection has ended.
func (w *WebSocket) open(rw http.ResponseWriter, r *http.Request, tell tellError) (broker.Conn, error) {
	upgrader := w.upgrader
	upgrader.Error = tell
	upgrader.EnableCompression = w.compression && offersDeflate(r.Header)
	c, err := upgrader.Upgrade(rw, r, nil)
	if err != nil {
		return broker.Conn{}, err
	}
	return broker.Conn{
		Conn: unwrap(c.NetConn()), Listener: w.name, Framed: true, Ping: w.ping, Deflate: upgrader.EnableCompression,
		Header: keptHeadersOf(r.Header), TLS: r.TLS, Remote: w.forwarded.client(r), Ticket: pendingConnOf(c.NetConn()).takePass(),
	}, nil
}

// keptHeadersOf returns a copy of the headers in keptHeaders.
func keptHeadersOf(all http.Header) http.Header {
	kept := http.Header{}
	for _, name := range keptHeaders {
		if values, ok := all[name]; ok {
			kept[name] = slices.Clone(values)
		}
	}
	return kept
}

// joinSubprotocols joins several headers into an equivalent one (RFC 6455 11.3.4).
func joinSubprotocols(h http.Header) {
	const name = "Sec-Websocket-Protocol"
	if values := h[name]; len(values) > 1 {
		h[name] = []string{strings.Join(values, ", ")}
	}
}

// refusal is the answer to a request that is not upgraded.
type refusal struct {
	status int
	text   string
}

// refusal returns the reason to refuse a request, if any.
func (w *WebSocket) refusal(r *http.Request) (refusal, bool) {
	if missing := missingHeaders(r); len(missing) > 0 && wantsWebSocket(r) {
		return refusal{http.StatusUpgradeRequired, fmt.Sprintf(strippedText, strings.Join(missing, ", "))}, true
	} else if len(missing) > 0 {
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
	if !slices.ContainsFunc(offered, commonSubprotocol) {
		text := fmt.Sprintf("none of the offered subprotocols (%s) is supported; "+
			"offer \"mqtt\" in Sec-WebSocket-Protocol", strings.Join(offered, ", "))
		return refusal{http.StatusBadRequest, text}, true
	}
	return refusal{}, false
}

// strippedText is the answer to a request without headers that every client sends.
const strippedText = "the WebSocket request lacks %s: a proxy has removed it; configure the proxy to use HTTP/1.1 and to forward " +
	"Upgrade and Connection (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; " +
	"proxy_set_header Connection \"upgrade\";)"

// missingHeaders returns the absent hop-by-hop headers of a WebSocket request (RFC 6455 4.2.1), which proxies remove.
func missingHeaders(r *http.Request) (missing []string) {
	if !r.ProtoAtLeast(1, 1) {
		missing = append(missing, "HTTP/1.1 (it has "+r.Proto+")")
	}
	if !websocket.IsWebSocketUpgrade(r) {
		for _, h := range []struct{ name, token string }{{"Upgrade", "websocket"}, {"Connection", "Upgrade"}} {
			if !hasToken(r.Header.Values(h.name), h.token) {
				missing = append(missing, "header "+h.name+": "+h.token)
			}
		}
	}
	return missing
}

// hasToken reports whether a list header has an element, ignoring case.
func hasToken(values []string, token string) bool {
	return slices.ContainsFunc(values, func(value string) bool {
		return slices.ContainsFunc(strings.Split(value, ","), func(element string) bool {
			return strings.EqualFold(strings.TrimSpace(element), token)
		})
	})
}

// wantsWebSocket reports whether a request has the headers of a WebSocket client that pass proxies, or requests the
// upgrade.
func wantsWebSocket(r *http.Request) bool {
	return r.Header.Get("Sec-WebSocket-Key") != "" || r.Header.Get("Sec-WebSocket-Version") != "" || hasToken(r.Header["Upgrade"], "websocket")
}

func commonSubprotocol(subprotocol string) bool { return slices.Contains(Subprotocols, subprotocol) }

// refuse answers with the reason. It does not log plain requests typed into an address bar.
func (w *WebSocket) refuse(rw http.ResponseWriter, r *http.Request, no refusal) {
	h := rw.Header()
	h.Set("Sec-WebSocket-Version", "13")
	level := slog.LevelWarn
	if no.status == http.StatusUpgradeRequired {
		h.Set("Upgrade", "websocket")
		h.Set("Connection", "Upgrade")
		if !wantsWebSocket(r) {
			level = slog.LevelDebug
		}
	}
	w.refused.Log(level, "websocket refused", "remote", w.forwarded.client(r), "status", no.status, "reason", no.text)
	http.Error(rw, no.text, no.status)
}
