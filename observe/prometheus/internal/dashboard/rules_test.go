package dashboard

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

const (
	ruleTests = "testdata/alerts_test.yml"
	runbook   = "../../../../docs/runbook.md"
)

var (
	alertRule = regexp.MustCompile(`(?m)^  - alert: (\w+)\n    expr: (.*)\n(?:    for: .*\n)?    labels: \{severity: (?:critical|warning|info)\}\n    annotations: \{summary: ".+", runbook_url: "(.+)"\}$`)
	input     = regexp.MustCompile(`series: '(\w+)\{`)
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rules are the alerts: name, expression, address of the runbook.
func rules(t *testing.T) (all [][]string) {
	t.Helper()
	text := read(t, alerts)
	all = alertRule.FindAllStringSubmatch(text, -1)
	if n := strings.Count(text, "alert:"); n != len(all) || n < 20 {
		t.Fatalf("%d of %d alerts have an expression, a severity, a summary and a runbook", len(all), n)
	}
	return all
}

// Each alert links its section of the runbook, which has no other sections.
func TestRunbookHasEachAlert(t *testing.T) {
	text := read(t, runbook)
	all := rules(t)
	for _, rule := range all {
		if want := "https://github.com/seed3893aba4/surestart/blob/main/docs/runbook.md#" + strings.ToLower(rule[1]); rule[3] != want {
			t.Errorf("%s links %s; want %s", rule[1], rule[3], want)
		}
		if !strings.Contains(text, "\n## "+rule[1]+"\n") {
			t.Errorf("docs/runbook.md has no section %s", rule[1])
		}
	}
	if n := strings.Count(text, "\n## Surestart"); n != len(all) {
		t.Errorf("docs/runbook.md has %d sections for %d alerts", n, len(all))
	}
}

// promtool runs the tests of the rules against these rules.
func promtool(t *testing.T, program, rules string) (said string, err error) {
	t.Helper()
	dir := t.TempDir()
	tests := regexp.MustCompile(`(?m)^rule_files: .*$`).ReplaceAllString(read(t, ruleTests), "rule_files: [rules.yml]")
	for name, text := range map[string]string{"rules.yml": rules, "tests.yml": tests} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(program, "test", "rules", filepath.Join(dir, "tests.yml")).CombinedOutput()
	return string(bytes.TrimSpace(out)), err
}

// Each alert fires on its bad series, and is silent on the good ones beside them. The tests
// notice an alert that never fires, and one that fires for good ones, too.
func TestAlertsFire(t *testing.T) {
	prometheus := os.Getenv("SURESTART_PROMETHEUS")
	if prometheus == "" {
		testbroker.Missing(t, "a promtool: set SURESTART_PROMETHEUS to the command of the Prometheus beside it (./check tools prometheus prints it)")
	}
	program := filepath.Join(filepath.Dir(prometheus), "promtool")
	text, tests := read(t, alerts), read(t, ruleTests)
	if said, err := promtool(t, program, text); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	all := rules(t)
	for _, rule := range all {
		if !strings.Contains(tests, fmt.Sprintf(`{alertname=%q, lifecycle="bad"}`, rule[1])) {
			t.Errorf("no test makes %s fire", rule[1])
		}
	}
	for _, broken := range []string{"surestart_no_such_metric > 0", `count by (lifecycle, instance) ({lifecycle="good"}) > 0`} {
		changed := regexp.MustCompile(`(?m)^    expr: .*$`).ReplaceAllLiteralString(text, "    expr: "+broken)
		said, err := promtool(t, program, changed)
		for _, rule := range all {
			if err == nil || !strings.Contains(said, fmt.Sprintf(`{alertname=%q, lifecycle="bad"}`, rule[1])) { // it says what it expected
				t.Errorf("with the expression %s the test of %s passes: %v", broken, rule[1], err)
			}
		}
	}
	t.Logf("CHECKED dashboard alerts-tested=%d", len(all))
}
