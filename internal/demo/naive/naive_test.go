package naive

import (
	"os"
	"strings"
	"testing"
)

// The documentation shows the code that runs, to the letter.
func TestDocumentationShowsTheSource(t *testing.T) {
	page, err := os.ReadFile("../../../docs/naive.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```go\n")
	shown, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("docs/naive.md shows no Go code")
	}
	if shown != Source {
		t.Error("docs/naive.md shows something else than naive.go: copy the file into its code block")
	}
}
