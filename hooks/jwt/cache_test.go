package jwt_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// TestExpiredTokensAreForgotten checks that cached tokens are removed when they expire, unused or not, and that a
// full cache drops them before valid ones.
func TestExpiredTokensAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var passed atomic.Int64
		o := setup{Keys: []jwt.KeySource{jwt.Key{Value: secret}}, CacheSize: 4}.options()
		o.Now = func() time.Time { return noon.Add(time.Duration(passed.Load())) }
		a := mustOpen(t, o)
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = a.Run(ctx) })
		mustShow := func(c claims) {
			t.Helper()
			if _, err := show(a, sign(t, valid(c))); err != nil {
				t.Fatal(err)
			}
		}
		lasting := claims{"exp": noon.Unix() + 7200}
		mustShow(lasting)
		for i := range 3 {
			mustShow(claims{"n": i})
		}
		passed.Store(int64(time.Hour + jwt.DefaultLeeway))
		for i := range 3 {
			mustShow(claims{"n": i, "exp": noon.Unix() + 7200})
		}
		hits := a.Stats().CacheHits
		if mustShow(lasting); a.Stats().CacheHits != hits+1 {
			t.Error("a good token went in the place of one that had expired")
		}
		passed.Store(int64(2*time.Hour + jwt.DefaultLeeway))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := a.Stats().Cached; n != 0 {
			t.Errorf("%d tokens are remembered, and all have expired", n)
		}
		cancel()
		run.Wait()
	})
}
