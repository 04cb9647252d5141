package docs

import (
	"regexp"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
)

// A row of the table of guarantees: the number, the name, the sentence.
var guaranteeRow = regexp.MustCompile(`(?m)^\| ([GD]\d+) \| \[?` + "`?" + `(\w+)[^|]*\| ([^|]+) \|`)

// docs/guarantees.md has the sentence that reports and scorecards print for each guarantee.
func TestGuaranteesHaveOneSentence(t *testing.T) {
	_, pages, _ := load(t)
	rows := guaranteeRow.FindAllStringSubmatch(pages["docs/guarantees.md"], -1)
	var all []machine.Guarantee
	for _, m := range machine.All() {
		all = append(all, m.Guarantees...)
	}
	if len(rows) != len(all) {
		t.Fatalf("docs/guarantees.md has %d guarantees; want %d", len(rows), len(all))
	}
	for i, g := range all {
		sentence := strings.ReplaceAll(rows[i][3], "`", "") + "."
		if rows[i][1] != g.ID || !strings.HasPrefix(rows[i][2], g.Name) && !strings.HasPrefix(g.Name, rows[i][2]) || sentence != g.Promise {
			t.Errorf("docs/guarantees.md: %s %s: %s\nwant %v: %s", rows[i][1], rows[i][2], sentence, g, g.Promise)
		}
	}
}
