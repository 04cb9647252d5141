package dashboard

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed3893aba4/surestart/observe/prometheus/promproducer"
)

// What the tests look at of Grafana's dashboard model.
type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
		}
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	Datasource               source
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                source
	}
}

type source struct{ Type, UID string }

const (
	file   = "../../../../docs/grafana.json"
	alerts = "../../../../docs/alerts.yml"
)

func load(t *testing.T) (d dashboard, text string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return d, string(b)
}

// It is a dashboard that Grafana can show: panels with ids, titles, places of their own,
// units, and queries to a data source that one can choose.
func TestModel(t *testing.T) {
	d, text := load(t)
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 36 || len(d.Panels) < 15 {
		t.Errorf("title %q, uid %q, schema %d, %d panels", d.Title, d.UID, d.SchemaVersion, len(d.Panels))
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name+" "+v.Type)
	}
	if want := []string{"datasource datasource", "lifecycle query"}; !slices.Equal(variables, want) {
		t.Errorf("the variables are %q; want %q", variables, want)
	}
	for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains([]string{"datasource", "lifecycle", "__rate_interval", "__all"}, m[1]) {
			t.Errorf("there is no variable %s", m[0])
		}
	}
	ids, taken := make(map[int]bool), make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %q has the id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
			t.Errorf("panel %q is at %+v, of 24 columns", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("the panels %q and %q overlap", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 || p.Datasource != (source{"prometheus", "${datasource}"}) {
			t.Errorf("panel %q: description %q, %d queries, from %v", p.Title, p.Description, len(p.Targets), p.Datasource)
		}
		if p.Type == "timeseries" && p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("panel %q has no unit", p.Title)
		}
		refs := make(map[string]bool)
		for _, q := range p.Targets {
			if refs[q.RefID] || q.RefID == "" || q.Expr == "" || q.LegendFormat == "" || q.Datasource != p.Datasource {
				t.Errorf("panel %q: %+v", p.Title, q)
			}
			refs[q.RefID] = true
		}
	}
}

var (
	metric     = regexp.MustCompile(`\bsurestart_\w+`)
	descriptor = regexp.MustCompile(`fqName: "(\w+)"`)
	ofOne      = regexp.MustCompile(`_(bucket|sum|count)$`) // a series of a histogram or a summary
)

// exported are the names of all metrics that the collectors have.
func exported() map[string]bool {
	descs := make(chan *prometheus.Desc, 100)
	promproducer.NewCollector("").Describe(descs) // the lifecycle's, too
	close(descs)
	names := make(map[string]bool)
	for d := range descs {
		names[descriptor.FindStringSubmatch(d.String())[1]] = true
	}
	return names
}

// Every metric in a query is exported, and every exported metric is in a query.
func TestMetricsExist(t *testing.T) {
	d, _ := load(t)
	names, shown, queries := exported(), make(map[string]bool), 0
	check := func(where, expr string) {
		queries++
		used := metric.FindAllString(expr, -1)
		if len(used) == 0 {
			t.Errorf("%s: %q uses no metric", where, expr)
		}
		for _, name := range used {
			if !names[name] {
				name = ofOne.ReplaceAllString(name, "")
			}
			if shown[name] = true; !names[name] {
				t.Errorf("%s uses %s, which no collector exports", where, name)
			}
		}
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			check(p.Title, q.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			check("variable "+v.Name, string(v.Query))
		}
	}
	for _, rule := range rules(t) {
		check(rule[1], rule[2])
	}
	for _, m := range input.FindAllStringSubmatch(read(t, ruleTests), -1) {
		check(ruleTests, m[1])
	}
	for name := range names {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
	if len(names) < 20 {
		t.Errorf("%d metrics are exported; there are more", len(names))
	}
	t.Logf("CHECKED dashboard queries=%d metrics=%d", queries, len(names))
}

// docs/figures/metrics.md has a line for each metric.
func TestPageNamesEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/figures/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range exported() {
		if !strings.Contains(string(text), "\n| `"+strings.TrimPrefix(name, "surestart_")+"` |") {
			t.Errorf("docs/figures/metrics.md has no line for %s", name)
		}
	}
}
