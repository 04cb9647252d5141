// Package docs tests the documents: what they show is code that is compiled and
// tested, what they point at is there.
package docs

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/checkout"
	"github.com/seed3893aba4/surestart/verify/internal/faults"
	"github.com/seed3893aba4/surestart/verify/internal/machine"
)

// pages are the documents, and sources the Go files, by their paths.
func load(t *testing.T) (root string, pages, sources map[string]string) {
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	pages, sources = make(map[string]string), make(map[string]string)
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if name == ".git" || name == "report" {
				return filepath.SkipDir
			}
			return nil
		}
		into := map[string]map[string]string{".md": pages, ".go": sources}[filepath.Ext(path)]
		if into == nil {
			return nil
		}
		text, err := os.ReadFile(path)
		into[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return root, pages, sources
}

// forSnippets is load, the sources without their indentation: see found.
func forSnippets(t *testing.T) (pages, sources map[string]string) {
	_, pages, sources = load(t)
	for name, text := range sources {
		sources[name] = unindented(text)
	}
	return pages, sources
}

var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```")

// Every piece of Go in a document stands, line for line, in a file that is built:
// it cannot show what does not compile.
func TestSnippetsAreCode(t *testing.T) {
	pages, sources := forSnippets(t)
	snippets := 0
	for page, text := range pages {
		for _, m := range goBlock.FindAllStringSubmatch(text, -1) {
			snippets++
			if !found(unindented(m[1]), sources) {
				t.Errorf("%s: this is in no Go file, line for line; put it into one that is tested (README's are in internal/docs/snippets_test.go):\n%s", page, m[1])
			}
		}
	}
	if snippets < 3 {
		t.Errorf("found %d snippets: the documents have more", snippets)
	}
	t.Logf("CHECKED docs snippets=%d pages=%d", snippets, len(pages))
}

var diffBlock = regexp.MustCompile("(?ms)^```diff\n(.*?)^```")

// Both sides of a change that a document shows are code: the removed lines and the added lines.
func TestDiffsAreCode(t *testing.T) {
	pages, sources := forSnippets(t)
	diffs := 0
	for page, text := range pages {
		for _, m := range diffBlock.FindAllStringSubmatch(text, -1) {
			diffs++
			var before, after strings.Builder
			for line := range strings.Lines(m[1]) {
				if line[0] != '+' {
					before.WriteString(line[1:])
				}
				if line[0] != '-' {
					after.WriteString(line[1:])
				}
			}
			for side, code := range map[string]string{"before": before.String(), "after": after.String()} {
				if !found(unindented(code), sources) {
					t.Errorf("%s: the side %q of this change is in no Go file, line for line:\n%s", page, side, m[1])
				}
			}
		}
	}
	if diffs < 1 {
		t.Error("found no change: docs/migrating.md has one")
	}
	t.Logf("CHECKED docs diffs=%d", diffs)
}

// The page on migration has a line for every field that one may have set.
func TestMigrationNamesEveryField(t *testing.T) {
	_, pages, _ := load(t)
	page, fields := pages["docs/migrating.md"], 0
	for _, of := range []reflect.Type{reflect.TypeFor[kafka.Writer](), reflect.TypeFor[kafka.Transport]()} {
		for _, f := range reflect.VisibleFields(of) {
			if !f.IsExported() {
				continue
			}
			fields++
			if name := "| `" + of.Name() + "." + f.Name + "` |"; !strings.Contains(page, name) {
				t.Errorf("docs/migrating.md has no line for %s", name)
			}
		}
	}
	t.Logf("CHECKED docs migrated-fields=%d", fields)
}

func found(snippet string, sources map[string]string) bool {
	for _, text := range sources {
		if strings.Contains(text, snippet) {
			return true
		}
	}
	return false
}

// unindented is text without the white space at the ends of its lines.
func unindented(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}

var (
	anchor      = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
	heading     = regexp.MustCompile(`(?m)^#+ (.*)$`)
	punctuation = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// headings are the fragments that links to a page may have, as GitHub makes them.
func headings(page string) map[string]bool {
	all := make(map[string]bool)
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		all["#"+strings.ReplaceAll(punctuation.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	for _, m := range anchor.FindAllStringSubmatch(page, -1) {
		all["#"+m[1]] = true
	}
	return all
}

var link = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)

// Every link within the repository leads to something: to a file, and to a heading if it names one.
func TestLinksLeadSomewhere(t *testing.T) {
	root, pages, _ := load(t)
	links := 0
	for page, text := range pages {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			links++
			to := page
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
			}
			if text, ok := pages[filepath.ToSlash(to)]; ok && m[2] != "" && !headings(text)[m[2]] {
				t.Errorf("%s: %s has no heading for %s", page, m[1], m[2])
			}
		}
	}
	if links < 50 {
		t.Errorf("found %d links: the documents have more", links)
	}
}

var (
	nameLink   = regexp.MustCompile("\\[((?:`[\\w.]+`(?:, )?)+)\\]\\(([^)#]+\\.(?:go|tla))\\)")
	linkedName = regexp.MustCompile("(\\w+)`")
)

// A link whose text is a name in code leads to a file that has the name. So a reader finds the
// formula, the code and the test of a guarantee.
func TestLinkedNamesAreThere(t *testing.T) {
	root, pages, _ := load(t)
	names := 0
	for page, text := range pages {
		for _, m := range nameLink.FindAllStringSubmatch(text, -1) {
			file, err := os.ReadFile(filepath.Join(root, filepath.Dir(page), m[2]))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range linkedName.FindAllStringSubmatch(m[1], -1) {
				if names++; !regexp.MustCompile(`\b` + name[1] + `\b`).Match(file) {
					t.Errorf("%s: %s has no %s", page, m[2], name[1])
				}
			}
		}
	}
	if names < 50 {
		t.Errorf("found %d names: the documents have more", names)
	}
}

// README stays a page: fewer than 900 words.
func TestReadmeIsShort(t *testing.T) {
	_, pages, _ := load(t)
	if n := len(strings.Fields(pages["README.md"])); n >= 900 {
		t.Errorf("README.md has %d words: want fewer than 900", n)
	}
}

// The list of documents has every page.
func TestEveryPageIsListed(t *testing.T) {
	_, pages, _ := load(t)
	for page := range pages {
		name, ok := strings.CutPrefix(page, "docs/")
		if ok && name != "README.md" && !strings.Contains(pages["docs/README.md"], "]("+name+")") {
			t.Errorf("docs/README.md does not list %s", name)
		}
	}
}

var testName = regexp.MustCompile("`(Test[A-Z]\\w*)(?:/(\\w+))?`")

// Every test that a document names, case and all, is there.
func TestNamedTestsExist(t *testing.T) {
	_, pages, sources := load(t)
	named := 0
	for page, text := range pages {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			named++
			found := false
			for name, source := range sources {
				found = found || strings.HasSuffix(name, "_test.go") && strings.Contains(source, "\nfunc "+m[1]+"(t *testing.T)") &&
					(m[2] == "" || strings.Contains(source, `"`+m[2]+`"`))
			}
			if !found {
				t.Errorf("%s: there is no test %s", page, strings.Trim(m[0], "`"))
			}
		}
	}
	if named < 50 {
		t.Errorf("found %d names of tests: the documents have more", named)
	}
}

var (
	codeName = regexp.MustCompile("`(?:\\w+\\.)*([A-Za-z]\\w*)`")
	comment  = regexp.MustCompile(`//.*`)
)

// These pages name what is in the code. Names in lower case are checked in the walk
// through the code only: elsewhere they are also metrics and keys of other files.
func TestNamesAreInTheCode(t *testing.T) {
	_, pages, sources := load(t)
	var code strings.Builder
	for _, text := range sources {
		code.WriteString(comment.ReplaceAllString(text, ""))
	}
	words, named := make(map[string]bool), 0
	for _, word := range regexp.MustCompile(`\w+`).FindAllString(code.String(), -1) {
		words[word] = true
	}
	for _, page := range []string{"docs/walkthrough.md", "docs/operating.md", "docs/figures/log-lines.md", "docs/figures/metrics.md", "docs/your-own-resource.md", "docs/performance.md"} {
		for _, m := range codeName.FindAllStringSubmatch(pages[page], -1) {
			if page != "docs/walkthrough.md" && m[1][0] >= 'a' {
				continue
			}
			if named++; !words[m[1]] {
				t.Errorf("%s: no code has %s", page, m[0])
			}
		}
	}
	if named < 100 {
		t.Errorf("found %d names: the pages have more", named)
	}
}

var (
	seededCount = regexp.MustCompile(`(\d+)\s+seeded\s+faults`)
	stateCount  = regexp.MustCompile(`(\d+(?:,\d{3})+)\s+states\b`)
)

// How many faults are seeded, and how many states TLC finds, is what the documents say.
func TestCountsAreKept(t *testing.T) {
	root, pages, _ := load(t)
	all, err := faults.All(machine.All())
	if err != nil {
		t.Fatal(err)
	}
	pinned := ""
	for _, name := range []string{"tla/manifest.json", "verify/internal/lifecycle/proof/proof.go"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		pinned += string(text)
	}
	seeded, states := 0, 0
	for page, text := range pages {
		for _, m := range seededCount.FindAllStringSubmatch(text, -1) {
			if seeded++; m[1] != strconv.Itoa(len(all)) {
				t.Errorf("%s: %q: there are %d", page, m[0], len(all))
			}
		}
		for _, m := range stateCount.FindAllStringSubmatch(text, -1) {
			n := regexp.MustCompile(`\b` + strings.ReplaceAll(m[1], ",", "") + `\b`)
			if states++; !n.MatchString(pinned) {
				t.Errorf("%s: %q: neither tla/manifest.json nor verify/internal/lifecycle/proof/proof.go has that count", page, m[0])
			}
		}
	}
	if seeded < 2 || states < 2 {
		t.Errorf("found %d counts of faults, %d of states: the documents have more", seeded, states)
	}
}
