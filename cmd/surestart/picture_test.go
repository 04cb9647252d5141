package main

import (
	"flag"
	"fmt"
	"html"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/demo.svg anew, from a whole run of the demo")

const picturePath = "../../docs/demo.svg"

// README shows the end of what the demo prints, as a picture:
//
//	go test -run TestDemoPicture ./cmd/surestart -update
func TestDemoPicture(t *testing.T) {
	if *update {
		r := runProcess(t, "demo")
		if r.status != 0 {
			t.Fatal(r.out, r.err)
		}
		if err := os.WriteFile(picturePath, []byte(picture(t, r.out)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkPicture compares the picture with a small run. The figures of the naive producer and the
// times differ from run to run, and are masked.
func checkPicture(t *testing.T, out string) {
	t.Helper()
	shown, err := os.ReadFile(picturePath)
	if err != nil {
		t.Fatal(err)
	}
	small := strings.NewReplacer("50 callers", "1,000 callers", ">2,000<", ">200,000<", "; 2,000 messages", "; 200,000 messages")
	got, want := strings.Split(masked(string(shown)), "\n"), strings.Split(masked(small.Replace(picture(t, out))), "\n")
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("docs/demo.svg is not what the demo prints, from line %d on: go test -run TestDemoPicture ./cmd/surestart -update", i+1)
		}
	}
}

var (
	flagCell = regexp.MustCompile(`<text class="flag[^<]*<`)
	aTime    = regexp.MustCompile(` ?\(?\d+\.\d+ s\)?`)
)

func masked(svg string) string {
	return aTime.ReplaceAllString(flagCell.ReplaceAllString(svg, "<"), "…")
}

// picture draws the closing table and the verdict below it.
func picture(t *testing.T, out string) string {
	t.Helper()
	_, table, ok := strings.Cut(out, "\n\n"+strings.Repeat(" ", 46)+"  a naive flag")
	if !ok {
		t.Fatalf("no closing table in:\n%s", out)
	}
	lines := strings.Split(strings.TrimSpace(strings.Repeat("x", 48)+"a naive flag"+table), "\n")
	const line, left, flagEnd, ourEnd, promise, width = 22, 20, 520, 640, 664, 920
	height := line*len(lines) + 68
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 %d %d" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" role="img" aria-label="The end of surestart demo: a naive flag beside surestart">
<style>text{fill:#c9d1d9;white-space:pre}.broken{fill:#ff7b72}.kept,.verdict{fill:#7ee787}.promise,.command{fill:#8b949e}</style>
<rect width="%d" height="%d" rx="8" fill="#0d1117"/>
<text class="command" x="%d" y="30">$ go run ./cmd/surestart demo</text>
`, width, height, width, height, left)
	cell := func(class string, x int, anchor string, y int, text string) {
		if text = strings.TrimRight(text, " "); text != "" {
			fmt.Fprintf(&b, `<text class="%s" x="%d" y="%d" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, html.EscapeString(text))
		}
	}
	for i, text := range lines {
		y := 62 + line*i
		if i == 0 { // the head
			cell("head", flagEnd, "end", y, "a naive flag")
			cell("head", ourEnd, "end", y, "surestart")
			continue
		}
		if len(text) < 74 || strings.HasPrefix(text, "PASS") {
			cell("verdict", left, "start", y, aTime.ReplaceAllString(text, ""))
			continue
		}
		naive, ours := strings.TrimSpace(text[46:60]), strings.TrimSpace(text[60:74])
		class := "flag"
		if naive != ours {
			class = "flag broken"
		}
		cell("what", left, "start", y, text[:46])
		cell(class, flagEnd, "end", y, naive)
		cell("kept", ourEnd, "end", y, ours)
		cell("promise", promise, "start", y, strings.TrimSpace(text[74:]))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
