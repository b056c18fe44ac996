package rules_test

import (
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

func TestClientIDs(t *testing.T) {
	a := mustNew(t, rules.Options{ClientIDs: []rules.ClientID{
		{Who: []string{"*"}, IDs: []string{"{user}", "{user}-*"}},
		{Who: []string{"*"}, IDs: []string{"site-{claim.sites}-{user}", "n{claim.number}"}},
		{Who: []string{"claim:admin=true"}, IDs: []string{"*"}},
		{Who: []string{"anonymous"}, IDs: []string{"guest-*", "{user}", "{user}*"}},
	}})
	sites := claims{"sites": []any{"north", "a*", "", 7.0, nil}, "number": int64(12)}
	for _, c := range []struct {
		user   string
		claims claims
		id     string
		want   bool
	}{
		{"ann", nil, "ann", true},
		{"ann", nil, "ann-", true},
		{"ann", nil, "ann-1", true},
		{"ann", nil, "ann-1-2*", true},
		{"ann", nil, "anna", false},
		{"ann", nil, "Ann", false},
		{"ann", nil, "bob-1", false},
		{"ann", nil, "xann-1", false},
		{"ann", nil, "", false},
		{"ann", nil, "{user}", false},
		{"ann", sites, "site-north-ann", true},
		{"ann", sites, "site-7-ann", true},
		{"ann", sites, "site-a*-ann", true}, // a value is literal, not a wildcard
		{"ann", sites, "site-abc-ann", false},
		{"ann", sites, "site--ann", false},
		{"ann", sites, "site-south-ann", false},
		{"ann", sites, "site-north-bob", false},
		{"ann", sites, "n12", true},
		{"ann", sites, "n1", false},
		{"ann", nil, "n", false},
		{"*", nil, "bob", false},
		{"*", nil, "*-1", true},
		{"root", claims{"admin": true}, "anything", true},
		{"root", claims{"admin": false}, "anything", false},
		{"", nil, "guest-1", true},
		{"", nil, "ann", false},
		{"", nil, "", false}, // {user} never stands for an empty text
	} {
		client := &broker.Client{ID: c.id, Identity: &broker.Identity{User: c.user, Claims: c.claims}}
		refusal := a.Admit(client)
		if got := refusal == nil; got != c.want {
			t.Errorf("user %q as %q: %v, want %v", c.user, c.id, refusal, c.want)
		}
		if refusal != nil && (refusal.Code != 0x85 || refusal.Label != "client_id") {
			t.Errorf("user %q as %q: refused with %+v", c.user, c.id, refusal)
		}
		if d := a.ExplainAdmit(client); d.Allow != c.want {
			t.Errorf("user %q as %q: explained as %+v", c.user, c.id, d)
		}
		if client.Assigned = true; a.Admit(client) != nil {
			t.Errorf("user %q may not have %q, which the broker chose", c.user, c.id)
		}
	}
}

func TestClientIDsAreFreeByDefault(t *testing.T) {
	for _, o := range []rules.Options{{}, rules.Default()} {
		if refusal := mustNew(t, o).Admit(withID("whatever")); refusal != nil {
			t.Error(refusal)
		}
	}
}

func TestExplainAdmit(t *testing.T) {
	a := mustNew(t, rules.Options{ClientIDs: []rules.ClientID{
		{Who: []string{"claim:admin=true"}, IDs: []string{"*"}}, {Who: []string{"*"}, IDs: []string{"{user}", "{user}-*"}},
	}})
	d := a.ExplainAdmit(withID("ann-1"))
	if !d.Allow || d.Path != "client_ids[1]" || d.Reason != "client_ids[1] allows it: {user}, {user}-* for *" {
		t.Errorf("%+v", d)
	}
	d = a.ExplainAdmit(withID("bob-1"))
	if d.Allow || len(d.Passed) != 2 || d.Passed[0].Reason != "it applies to claim:admin=true" ||
		d.Passed[1].Reason != "bob-1 is not among {user}, {user}-*" {
		t.Errorf("%+v", d)
	}
}

func TestProblemsOfClientIDs(t *testing.T) {
	for id, want := range map[string]string{
		"":            `client_ids[0].ids[0]: is empty; write a client identifier, such as "{user}-*"`,
		"a*b":         `client_ids[0].ids[0]: "a*b" has a * before its end; write * at the end only, where it matches any text`,
		"{user":       `client_ids[0].ids[0]: "{user" has an unmatched brace; write {user} or {claim.NAME}`,
		"a}b":         `client_ids[0].ids[0]: "a}b" has an unmatched brace; write {user} or {claim.NAME}`,
		"{client}":    `client_ids[0].ids[0]: "{client}": unknown placeholder {client}; write {user} or {claim.NAME}`,
		"{claim.}":    `client_ids[0].ids[0]: "{claim.}": unknown placeholder {claim.}; write {user} or {claim.NAME}`,
		"{user}-{x}*": `client_ids[0].ids[0]: "{user}-{x}*": unknown placeholder {x}; write {user} or {claim.NAME}`,
		"{claim.a/b}": ``,
		"*":           ``,
	} {
		o := rules.Options{ClientIDs: []rules.ClientID{{Who: []string{"*"}, IDs: []string{id}}}}
		if got := rules.Check(o).Error(); got != want {
			t.Errorf("%q: got  %s\nwant %s", id, got, want)
		}
	}
	got := rules.Check(rules.Options{ClientIDs: []rules.ClientID{{}, {Who: []string{"ann"}, IDs: []string{"x"}}}}).Error()
	for _, want := range []string{"client_ids[0].who: is empty", "client_ids[0].ids: is empty", "client_ids[1].who[0]: "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
