package rules_test

import (
	"sync"
	"testing"

	"github.com/outcry-mqtt/outcry/hooks/rules"
)

func TestUpdateKeepsOldRulesOnError(t *testing.T) {
	a := mustNew(t, only(allow("*", "old")))
	if err := a.Update(only(allow("*", "new"), allow("nobody", ""))); err == nil {
		t.Fatal("broken rules were taken")
	}
	if ann := user("ann", nil); !a.Authorize(ann, pub, "old") || a.Authorize(ann, pub, "new") {
		t.Error("the old rules are gone")
	}
}

// A decision uses one version of the rules: the two alternating versions agree on "always" and "never".
func TestUpdateWhileAsked(t *testing.T) {
	one := only(allow("*", "one"), allow("*", "always/#"), deny("*", "never"))
	two := only(deny("*", "never"), allow("user:ann", "always/#"), allow("*", "#"))
	a := mustNew(t, one)
	ann := user("ann", claims{"rooms": []any{"x"}})
	done := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if !a.Authorize(ann, sub, "always/+") || a.Authorize(ann, pub, "never") {
					t.Error("a decision mixed two versions")
					return
				}
				a.QueuePolicy("always/x")
				a.Explain(ann, rules.Question{Action: sub, Topic: "never"})
			}
		})
	}
	for i := range 500 {
		if err := a.Update([]rules.Options{one, two}[i%2]); err != nil {
			t.Error(err)
		}
	}
	close(done)
	asking.Wait()
}
