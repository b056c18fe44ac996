package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

const (
	slowestPattern = "GET /clients/slowest"
	slowestDefault = 20
	slowestMost    = 1000
	slowestTimeout = 5 * time.Second // for the shards, which search beside their work
)

// slowClient is the JSON form of a broker.SlowClient.
type slowClient struct {
	Client      string            `json:"client"`
	User        string            `json:"user,omitempty"`
	Address     string            `json:"address"`
	Listener    string            `json:"listener"`
	ParkedSince time.Time         `json:"parked_since,omitzero"`
	LastWrite   time.Time         `json:"last_write,omitzero"`
	Bytes       int64             `json:"waiting_bytes"`
	Waiting     int               `json:"waiting_messages"`
	Queued      int               `json:"queued_messages"`
	Inflight    int               `json:"unacknowledged_messages"`
	Lost        map[string]uint64 `json:"lost,omitempty"`
}

// slowestHandler lists slow clients with their lost messages.
func slowestHandler(find func(ctx context.Context, n int) ([]broker.SlowClient, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := slowestLimit(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), slowestTimeout)
		defer cancel()
		found, err := find(ctx, n)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer := struct {
			Clients []slowClient `json:"clients"`
		}{Clients: make([]slowClient, 0, len(found))}
		for _, x := range found {
			answer.Clients = append(answer.Clients, slowClient{
				Client: x.ID, User: x.User, Address: x.Remote, Listener: x.Listener, ParkedSince: x.ParkedSince.UTC(), LastWrite: x.LastWrite.UTC(),
				Bytes: x.Bytes, Waiting: x.Waiting, Queued: x.Queued, Inflight: x.Inflight, Lost: x.Lost,
			})
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(answer) // the caller may have gone
	})
}

// slowestLimit returns the requested number of clients.
func slowestLimit(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return slowestDefault, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > slowestMost {
		return 0, fmt.Errorf("limit=%.20q: want a number from 1 to %d", text, slowestMost)
	}
	return n, nil
}
