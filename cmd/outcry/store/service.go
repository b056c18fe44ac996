package store

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

const (
	// writeTimeout bounds a write to a caller that reads slowly: a line, or up to 32 KiB of a backup.
	writeTimeout = 30 * time.Second
	// progressInterval is the interval of progress lines.
	progressInterval = 500 * time.Millisecond
	// clientQuery is the query parameter with a client identifier.
	clientQuery = "client"
)

// answerLine is one line of an answer: progress, or in the last one the result.
type answerLine struct {
	Done       int64                 `json:"done,omitempty"`
	Total      int64                 `json:"total,omitempty"`
	Report     *boltstore.Report     `json:"report,omitempty"`
	Compaction *boltstore.Compaction `json:"compaction,omitempty"`
	Dropped    bool                  `json:"dropped,omitempty"`
	Error      string                `json:"error,omitempty"`
}

func (l *answerLine) isLast() bool {
	return l.Report != nil || l.Compaction != nil || l.Dropped || l.Error != ""
}

// Service performs the operations of outcry store in a running broker: one at a time, for callers with the data
// folder's key.
type Service struct {
	store *boltstore.Store
	drop  func(ctx context.Context, clientID string) error // Broker.DropSession
	log   *slog.Logger
	Key   string
	busy  chan struct{}   // 1
	ctx   context.Context // ends running operations
	Stop  context.CancelFunc
}

// NewService returns the service of a store; drop ends the session of a client identifier.
func NewService(store *boltstore.Store, drop func(context.Context, string) error, log *slog.Logger) *Service {
	s := &Service{store: store, drop: drop, log: log, Key: rand.Text(), busy: make(chan struct{}, 1)}
	s.ctx, s.Stop = context.WithCancel(context.Background())
	return s
}

// Handlers returns the handlers for the operator's listener, by pattern. A check is a POST, too, so that no page can
// link to it.
func (s *Service) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /store/backup":        s.guard(s.backup),
		"POST /store/stats":        s.guard(s.streamLines(s.stats)),
		"POST /store/check":        s.guard(s.streamLines(s.check)),
		"POST /store/compact":      s.guard(s.streamLines(s.compact)),
		"POST /store/drop-session": s.guard(s.dropSession),
	}
}

// guard passes one request at a time, with the key.
func (s *Service) guard(next func(w http.ResponseWriter, r *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get(keyHeader)), []byte(s.Key)) != 1 {
			http.Error(w, "only outcry store may send this request, with the key in "+AccessFile+" of the data folder", http.StatusForbidden)
			return
		}
		select {
		case s.busy <- struct{}{}:
			defer func() { <-s.busy }()
		default:
			http.Error(w, "another outcry store command is running on this broker; try again when it has ended", http.StatusConflict)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Time{}) // otherwise the connection would count as lost when it passes
		defer context.AfterFunc(s.ctx, func() {
			cancel()
			_ = c.SetWriteDeadline(time.Now())
		})()
		w.Header().Set("Cache-Control", "no-store")
		next(w, r.WithContext(ctx))
	})
}

// backup streams a copy of the store.
func (s *Service) backup(w http.ResponseWriter, r *http.Request) {
	snap, err := s.store.Snapshot()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer snap.Close() // it was only read
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(snap.Size(), 10))
	// The caller detects a truncated backup by its length.
	if n, err := snap.WriteTo(&deadlineWriter{r.Context(), w}); err != nil {
		s.log.Warn("backup not finished", "bytes", n, "error", err)
	} else {
		s.log.Info("backup sent", "bytes", n)
	}
}

// deadlineWriter gives a caller writeTimeout for each write.
type deadlineWriter struct {
	ctx context.Context
	w   http.ResponseWriter
}

// Write sends b, unless the context has ended.
func (p *deadlineWriter) Write(b []byte) (int, error) {
	c := http.NewResponseController(p.w)
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	// Checked after setting the deadline, because ending the context sets another one.
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.w.Write(b)
	if err == nil && len(b) < 1<<10 {
		err = c.Flush() // a line
	}
	return n, err
}

// operation is the work of one request. It calls progress from any goroutine, also from the store's, which must not wait for a
// caller.
type operation func(ctx context.Context, progress func(done, total int64)) answerLine

// streamLines answers with lines of JSON: progress during the work, and the result at the end. It ends when the caller has
// gone.
func (s *Service) streamLines(work operation) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		var done, total atomic.Int64
		last := make(chan answerLine, 1)
		go func() { last <- work(ctx, func(d, t int64) { done.Store(d); total.Store(t) }) }()
		out := json.NewEncoder(&deadlineWriter{context.WithoutCancel(ctx), w})
		tick := time.NewTicker(progressInterval)
		defer tick.Stop()
		for {
			select {
			case line := <-last:
				_ = out.Encode(line) // the caller may have gone
				return
			case <-tick.C:
				if err := out.Encode(answerLine{Done: done.Load(), Total: total.Load()}); err != nil {
					cancel()
				}
			}
		}
	}
}

func (s *Service) stats(ctx context.Context, progress func(done, total int64)) answerLine {
	return s.report(ctx, boltstore.CheckOptions{Progress: progress})
}

func (s *Service) check(ctx context.Context, progress func(done, total int64)) answerLine {
	return s.report(ctx, boltstore.CheckOptions{Progress: progress, Content: contentChecks})
}

func (s *Service) report(ctx context.Context, o boltstore.CheckOptions) answerLine {
	snap, err := s.store.Snapshot()
	if err != nil {
		return answerLine{Error: err.Error()}
	}
	defer snap.Close() // it was only read
	report, err := snap.Check(ctx, o)
	if err != nil {
		return answerLine{Error: err.Error()}
	}
	if err := report.Err(); err != nil {
		s.log.Error("store damaged", "error", err)
	}
	return answerLine{Report: report}
}

func (s *Service) compact(ctx context.Context, progress func(done, total int64)) answerLine {
	start := time.Now()
	c, err := s.store.Compact(ctx, boltstore.CompactOptions{Progress: progress})
	if err != nil {
		s.log.Warn("store not compacted", "error", err)
		return answerLine{Error: err.Error()}
	}
	s.log.Info("store compacted", "before", c.Before, "after", c.After, "took", time.Since(start))
	return answerLine{Compaction: c}
}

// dropSession drops the session of the client identifier in the query.
func (s *Service) dropSession(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get(clientQuery)
	s.streamLines(func(ctx context.Context, _ func(done, total int64)) answerLine {
		if err := s.drop(ctx, id); err != nil {
			return answerLine{Error: fmt.Sprintf("session %q not dropped: %v", id, err)}
		}
		s.log.Info("session dropped", "client", id)
		return answerLine{Dropped: true}
	})(w, r)
}
