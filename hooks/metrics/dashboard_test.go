package metrics_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

const dashboardFile = "../../docs/grafana/outcry.json"

// dashboard holds the tested parts of a Grafana dashboard.
type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct{ List []variable }
	Annotations   struct{ List []struct{ Expr string } }
	Panels        []panel
}

type variable struct {
	Name, Type string
	Query      any
	Definition string
}

type panel struct {
	ID          int
	Type, Title string
	Datasource  struct{ Type, UID string }
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Options     struct{ YAxis struct{ Unit string } }
	Targets     []struct {
		RefID, Expr string
		Datasource  struct{ Type, UID string }
	}
}

func readDashboard(tb testing.TB) dashboard {
	tb.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		tb.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		tb.Fatal(err)
	}
	return d
}

// queries returns every PromQL expression of d, by its place.
func (d dashboard) queries() map[string]string {
	queries := make(map[string]string)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			queries[fmt.Sprintf("panel %q, %s", p.Title, target.RefID)] = target.Expr
		}
	}
	for i, a := range d.Annotations.List {
		queries[fmt.Sprintf("annotation %d", i)] = a.Expr
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			queries["variable "+v.Name] = v.Definition
		}
	}
	return queries
}

var (
	metricName   = regexp.MustCompile(`\b(?:outcry|go|process)_[a-z0-9_]+`)
	histogramEnd = regexp.MustCompile(`_(?:bucket|sum|count)$`)
	selector     = regexp.MustCompile(`\b((?:outcry|go|process)_[a-z0-9_]+)\{([^}]*)\}`)
	labelMatcher = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping     = regexp.MustCompile(`by \(([^)]*)\)`)
	sampleLine   = regexp.MustCompile(`(?m)^([a-z0-9_]+)(?:\{(.*)\})? `)
)

// labelsOf returns the labels of each series of a scrape by its name, without those that Prometheus adds.
func labelsOf(scraped string) map[string]map[string]bool {
	labels := make(map[string]map[string]bool)
	for _, sample := range sampleLine.FindAllStringSubmatch(scraped, -1) {
		names := map[string]bool{"job": true, "instance": true}
		for _, m := range labelMatcher.FindAllStringSubmatch(sample[2], -1) {
			names[m[1]] = true
		}
		labels[sample[1]] = names
	}
	return labels
}

func TestDashboardQueriesWhatExists(t *testing.T) {
	scraped := scrape(t, newRegistry(t))
	types, labels := typesOf(scraped), labelsOf(scraped)
	queries := readDashboard(t).queries()
	if len(queries) < 30 {
		t.Fatalf("only %d queries were found", len(queries))
	}
	for where, query := range queries {
		names := metricName.FindAllString(query, -1)
		if len(names) == 0 {
			t.Errorf("%s: no metric in %s", where, query)
		}
		for _, name := range names {
			base := histogramEnd.ReplaceAllString(name, "")
			if types[name] == "" && types[base] != "histogram" && types[base] != "summary" {
				t.Errorf("%s: %s does not exist", where, name)
			}
			if types[name] == "counter" && !strings.Contains(query, "rate(") {
				t.Errorf("%s: the counter %s is not in a rate", where, name)
			}
		}
		checkLabels(t, where, query, labels)
	}
}

// checkLabels checks that the series of a query have the labels it selects or groups by.
func checkLabels(t *testing.T, where, query string, labels map[string]map[string]bool) {
	t.Helper()
	for _, m := range selector.FindAllStringSubmatch(query, -1) {
		name, has := m[1], labels[m[1]]
		wanted := labelMatcher.FindAllStringSubmatch(m[2], -1)
		for _, group := range grouping.FindAllStringSubmatch(query, -1) {
			for label := range strings.SplitSeq(group[1], ",") {
				wanted = append(wanted, []string{"", strings.TrimSpace(label)})
			}
		}
		for _, label := range wanted {
			if !has[label[1]] {
				t.Errorf("%s: %s has no label %s", where, name, label[1])
			}
		}
		if !strings.Contains(m[2], `job="$job"`) {
			t.Errorf("%s: %s is not of the chosen job", where, name)
		}
	}
}

func TestDashboardShowsEveryMetric(t *testing.T) {
	var all strings.Builder
	for _, query := range readDashboard(t).queries() {
		all.WriteString(query + "\n")
	}
	for _, name := range ourNames(scrape(t, newRegistry(t))) {
		// The panel shows the longest of the last ten turns; the latest one would be a random sample.
		if name != "outcry_broker_shard_lag_seconds" && !regexp.MustCompile(name+`(?:_bucket)?\b`).MatchString(all.String()) {
			t.Errorf("%s is on no panel", name)
		}
	}
}

func TestDashboardIsWellFormed(t *testing.T) {
	d := readDashboard(t)
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 36 {
		t.Errorf("title %q, uid %q, schemaVersion %d", d.Title, d.UID, d.SchemaVersion)
	}
	if v := d.Templating.List[0]; v.Name != "datasource" || v.Type != "datasource" || v.Query != "prometheus" {
		t.Errorf("the first variable is not the data source: %+v", v)
	}
	ids := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %q has the id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies over %q or the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		checkPanel(t, p)
	}
}

func checkPanel(t *testing.T, p panel) {
	t.Helper()
	if p.Type == "row" {
		return
	}
	if p.FieldConfig.Defaults.Unit == "" && p.Options.YAxis.Unit == "" {
		t.Errorf("panel %q has no unit", p.Title)
	}
	if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
		t.Errorf("panel %q has %d queries of the data source %q", p.Title, len(p.Targets), p.Datasource.UID)
	}
	refs := make(map[string]bool)
	for _, target := range p.Targets {
		if refs[target.RefID] || target.RefID == "" || target.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q has the query %q of the data source %q", p.Title, target.RefID, target.Datasource.UID)
		}
		refs[target.RefID] = true
	}
}
