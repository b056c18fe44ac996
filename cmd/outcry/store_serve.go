package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

const (
	// sendPatience is how long a caller may take to read what it is sent: a line, or up to 32 KiB of a backup.
	sendPatience = 30 * time.Second
	// tellEvery is how often a caller is told how far the work is.
	tellEvery = 500 * time.Millisecond
)

// storeLine is one line of an answer: how far the work is, or, as the last one, what came of it.
type storeLine struct {
	Done       int64                 `json:"done,omitempty"`
	Total      int64                 `json:"total,omitempty"`
	Report     *boltstore.Report     `json:"report,omitempty"`
	Compaction *boltstore.Compaction `json:"compaction,omitempty"`
	Error      string                `json:"error,omitempty"`
}

func (l *storeLine) isLast() bool { return l.Report != nil || l.Compaction != nil || l.Error != "" }

// storeService does what outcry store asks a running broker for: one thing at a time, for whom the data folder's key is
// shown.
type storeService struct {
	store *boltstore.Store
	log   *slog.Logger
	key   string
	busy  chan struct{}   // 1
	ctx   context.Context // ends what is under way
	stop  context.CancelFunc
}

func newStoreService(store *boltstore.Store, log *slog.Logger) *storeService {
	s := &storeService{store: store, log: log, key: rand.Text(), busy: make(chan struct{}, 1)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// handlers are those for the operator's listener, by their patterns. A check is a POST, too: it is no page to look at.
func (s *storeService) handlers() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /store/backup":   s.guard(s.backup),
		"POST /store/stats":   s.guard(s.lines(s.stats)),
		"POST /store/check":   s.guard(s.lines(s.check)),
		"POST /store/compact": s.guard(s.lines(s.compact)),
	}
}

// guard lets one request at a time through that shows the key.
func (s *storeService) guard(next func(w http.ResponseWriter, r *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get(keyHeader)), []byte(s.key)) != 1 {
			http.Error(w, "this is for outcry store, which shows the key in "+accessFile+" of the data folder", http.StatusForbidden)
			return
		}
		select {
		case s.busy <- struct{}{}:
			defer func() { <-s.busy }()
		default:
			http.Error(w, "another outcry store is at work on this broker; try again when it has ended", http.StatusConflict)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Time{}) // or the connection would be taken for lost when it passes
		defer context.AfterFunc(s.ctx, func() {
			cancel()
			_ = c.SetWriteDeadline(time.Now())
		})()
		w.Header().Set("Cache-Control", "no-store")
		next(w, r.WithContext(ctx))
	})
}

// backup streams a copy of the store.
func (s *storeService) backup(w http.ResponseWriter, r *http.Request) {
	snap, err := s.store.Snapshot()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer snap.Close() // it was only read
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(snap.Size(), 10))
	// What is missing at the end the caller sees by the length.
	if n, err := snap.WriteTo(&patientWriter{r.Context(), w}); err != nil {
		s.log.Warn("backup not finished", "bytes", n, "error", err)
	} else {
		s.log.Info("backup sent", "bytes", n)
	}
}

// patientWriter gives a caller sendPatience for each write.
type patientWriter struct {
	ctx context.Context
	w   http.ResponseWriter
}

// Write sends b, unless the context has ended.
func (p *patientWriter) Write(b []byte) (int, error) {
	c := http.NewResponseController(p.w)
	if err := c.SetWriteDeadline(time.Now().Add(sendPatience)); err != nil {
		return 0, err
	}
	// Looked at now, for whoever ends the context then sets another deadline.
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.w.Write(b)
	if err == nil && len(b) < 1<<10 {
		err = c.Flush() // a line
	}
	return n, err
}

// storeWork is what a request is for. It calls progress from any goroutine, also from the store's, which must not wait
// for a caller.
type storeWork func(ctx context.Context, progress func(done, total int64)) storeLine

// lines answers with lines of JSON: while the work goes on, how far it is, and at the end what came of it. It ends when
// the caller has gone.
func (s *storeService) lines(work storeWork) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		var done, total atomic.Int64
		last := make(chan storeLine, 1)
		go func() { last <- work(ctx, func(d, t int64) { done.Store(d); total.Store(t) }) }()
		out := json.NewEncoder(&patientWriter{context.WithoutCancel(ctx), w})
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case line := <-last:
				_ = out.Encode(line) // or the caller has gone
				return
			case <-tick.C:
				if err := out.Encode(storeLine{Done: done.Load(), Total: total.Load()}); err != nil {
					cancel()
				}
			}
		}
	}
}

func (s *storeService) stats(ctx context.Context, progress func(done, total int64)) storeLine {
	return s.report(ctx, boltstore.CheckOptions{Progress: progress})
}

func (s *storeService) check(ctx context.Context, progress func(done, total int64)) storeLine {
	return s.report(ctx, boltstore.CheckOptions{Progress: progress, Content: contentChecks})
}

func (s *storeService) report(ctx context.Context, o boltstore.CheckOptions) storeLine {
	snap, err := s.store.Snapshot()
	if err != nil {
		return storeLine{Error: err.Error()}
	}
	defer snap.Close() // it was only read
	report, err := snap.Check(ctx, o)
	if err != nil {
		return storeLine{Error: err.Error()}
	}
	if err := report.Err(); err != nil {
		s.log.Error("store damaged", "error", err)
	}
	return storeLine{Report: report}
}

func (s *storeService) compact(ctx context.Context, progress func(done, total int64)) storeLine {
	start := time.Now()
	c, err := s.store.Compact(ctx, boltstore.CompactOptions{Progress: progress})
	if err != nil {
		s.log.Warn("store not compacted", "error", err)
		return storeLine{Error: err.Error()}
	}
	s.log.Info("store compacted", "before", c.Before, "after", c.After, "took", time.Since(start))
	return storeLine{Compaction: c}
}
