package timeline_test

import (
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/internal/timeline"
)

func example() timeline.Timeline {
	return timeline.Timeline{
		Title:   "G4 <Rollback>",
		Columns: []string{"c1", "operation"},
		Steps: []timeline.Step{
			{Cells: []string{"StartEnter", ""}, State: "Starting", Held: ""},
			{Cells: []string{"", "OpenPart #1"}, State: "Starting", Held: "#1: 1"},
			{Cells: []string{"", "OpenErr #1"}, State: "Stopping", Held: "#1: 1"},
		},
		What: []string{"held: want 1, got 0"},
	}
}

func TestText(t *testing.T) {
	const want = `step  c1          operation    state     held
1     StartEnter               Starting
2                 OpenPart #1  Starting  #1: 1
3                 OpenErr #1   Stopping  #1: 1
✗ held: want 1, got 0
`
	if got := example().Text(false); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	coloured := example().Text(true)
	for _, part := range []string{"\x1b[33mStarting\x1b[0m", "\x1b[1;31mStopping\x1b[0m", "\x1b[1;31m✗ held"} {
		if !strings.Contains(coloured, part) {
			t.Errorf("no %q in %q", part, coloured)
		}
	}
}

func TestHTML(t *testing.T) {
	var b strings.Builder
	if err := example().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	for part, n := range map[string]int{"G4 &lt;Rollback&gt;": 2, `class="breaks"`: 1, `data-state="Starting"`: 2, `class="band Stopping"`: 1, "✗ held: want 1, got 0": 1, "<Rollback>": 0} {
		if got := strings.Count(b.String(), part); got != n {
			t.Errorf("%q is there %d times, want %d", part, got, n)
		}
	}
}

// Nothing in a recorded file reaches the terminal as more than text.
func TestEscapes(t *testing.T) {
	const evil = "\x1b[2J\u202e\xff\n\r"
	line := timeline.Timeline{Title: evil, Columns: []string{evil}, Steps: []timeline.Step{{Cells: []string{evil}, State: evil, Held: evil}}, What: []string{"one\n" + evil}}
	var html strings.Builder
	if err := line.WriteHTML(&html); err != nil {
		t.Fatal(err)
	}
	const shown = `\x1b[2J\u202e\xff\n\r`
	text := line.Text(false)
	if n := strings.Count(text, `\x1b[2J\u202e\xff`); n != 5 || strings.Count(text, "\n") != 2+3 || !strings.Contains(text, "✗ one\n"+`\x1b`) {
		t.Errorf("%d times in %q", n, text)
	}
	for _, s := range []string{text, html.String(), line.Text(true)} {
		s = strings.NewReplacer("\x1b[1m", "", "\x1b[1;31m", "", "\x1b[0m", "").Replace(s)
		if strings.ContainsAny(s, "\x1b\r\u202e") || strings.Contains(s, "\xff") || !strings.Contains(s, shown) {
			t.Errorf("%q", s)
		}
	}
}
