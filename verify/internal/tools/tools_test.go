package tools

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// sandbox gives the test a cache of its own, and a PATH on which java and mvn are fakes. The fake
// mvn copies the files of serve to the requested directory, and counts its runs.
type sandbox struct{ cache, serve, runs string }

func newSandbox(t *testing.T) sandbox {
	t.Helper()
	dir := t.TempDir()
	s := sandbox{cache: filepath.Join(dir, "cache"), serve: filepath.Join(dir, "serve"), runs: filepath.Join(dir, "runs")}
	bin := filepath.Join(dir, "bin")
	for _, d := range []string{s.serve, bin} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SURESTART_CACHE", s.cache)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	program := func(name, text string) {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	program("java", "echo '    java.specification.version = 17' >&2\n")
	program("mvn", fmt.Sprintf(`echo "$*" >>%s
for arg; do case $arg in -DoutputDirectory=*) cp %s/* "${arg#*=}" ;; esac; done
`, s.runs, s.serve))
	return s
}

func (s sandbox) serves(t *testing.T, name, content string) (sum string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.serve, name), []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
}

// downloads is how often Maven ran.
func (s sandbox) downloads() int {
	text, _ := os.ReadFile(s.runs)
	return strings.Count(string(text), "\n")
}

const testPom = "<kafka.version>1.2</kafka.version>"

// fixtures are a tool of one jar and one of two, as Maven serves them.
func (s sandbox) fixtures(t *testing.T) map[string]*Tool {
	t.Helper()
	a, b := s.serves(t, "a.jar", "a"), s.serves(t, "b.jar", "b")
	if err := os.Remove(filepath.Join(s.serve, "b.jar")); err != nil {
		t.Fatal(err)
	}
	return map[string]*Tool{
		"jar":  jar("A", "1 byte", "a:a:1", a),
		"jars": jars("AB", "2 bytes", testPom, a+"  a.jar\n"+b+"  b.jar\n"),
	}
}

func TestFetchedOnceAndVerifiedAtEachUse(t *testing.T) {
	for _, name := range []string{"jar", "jars"} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			tool := s.fixtures(t)[name]
			if name == "jars" {
				s.serves(t, "b.jar", "b")
			}
			if _, err := tool.Find(t.Context()); err == nil {
				t.Fatal("Find finds what was never fetched")
			}
			var log strings.Builder
			where, err := tool.Get(t.Context(), &log)
			if err != nil {
				t.Fatalf("Get: %v\n%s", err, log.String())
			}
			if again, err := tool.Get(t.Context(), &log); again != where || err != nil {
				t.Errorf("a second Get = %s, %v, want %s", again, err, where)
			}
			if n := s.downloads(); n != 1 {
				t.Errorf("Maven ran %d times for two uses, want once", n)
			}

			file := where
			if name == "jars" {
				file = filepath.Join(where, "b.jar")
			}
			if err := os.WriteFile(file, []byte("changed"), 0o666); err != nil {
				t.Fatal(err)
			}
			if _, err := tool.Find(t.Context()); err == nil || !strings.Contains(err.Error(), "pinned is") {
				t.Errorf("Find of a jar that was changed in the cache: %v, want the two checksums", err)
			}
			if again, err := tool.Get(t.Context(), &log); again != where || err != nil {
				t.Errorf("Get after a jar was changed = %s, %v, want %s", again, err, where)
			}
			if n := s.downloads(); n != 2 || !strings.Contains(log.String(), "is not what is pinned: fetching it again") {
				t.Errorf("Maven ran %d times, want twice, and a word about it in\n%s", n, log.String())
			}
			if _, err := tool.Find(t.Context()); err != nil {
				t.Errorf("Find after it was fetched again: %v", err)
			}
			if name == "jars" { // one jar more would be on the class path
				if err := os.WriteFile(filepath.Join(where, "c.jar"), nil, 0o666); err != nil {
					t.Fatal(err)
				}
				if _, err := tool.Find(t.Context()); err == nil || !strings.Contains(err.Error(), "c.jar: no checksum is pinned for it") {
					t.Errorf("Find with another jar in the cache: %v", err)
				}
			}
		})
	}
}

func TestWrongChecksumIsRefused(t *testing.T) {
	for _, c := range []struct{ name, tool, file, content, want string }{
		{"jar", "jar", "a.jar", "not a", "a:a:1, as Maven gives it, is not what is pinned: a.jar: sha256 is "},
		{"one of the jars", "jars", "b.jar", "not b", "b.jar: sha256 is "},
		{"a jar too few", "jars", "", "", "b.jar: missing"},
		{"a jar too many", "jars", "c.jar", "c", "c.jar: no checksum is pinned for it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSandbox(t)
			tool := s.fixtures(t)[c.tool]
			if c.file != "" {
				s.serves(t, c.file, c.content)
			}
			_, err := tool.Get(t.Context(), t.Output())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Get = %v, want %q", err, c.want)
			}
			var left []string
			for _, pattern := range []string{"*", "*/*", "*/*/*"} {
				some, _ := filepath.Glob(filepath.Join(s.cache, pattern))
				left = append(left, some...)
			}
			for _, path := range left {
				if strings.HasSuffix(path, ".jar") || strings.Contains(path, "fetch.") {
					t.Errorf("%s is left in the cache", path)
				}
			}
		})
	}
}

func TestTwoAtOnceFetchOnce(t *testing.T) {
	s := newSandbox(t)
	tool := s.fixtures(t)["jar"]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := tool.Get(t.Context(), t.Output()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.downloads(); n != 1 {
		t.Errorf("Maven ran %d times, want once", n)
	}
}

func TestMavenIsTriedTwice(t *testing.T) {
	s := newSandbox(t)
	tool := s.fixtures(t)["jar"]
	if err := os.RemoveAll(s.serve); err != nil { // now the fake's cp fails
		t.Fatal(err)
	}
	if _, err := tool.Get(t.Context(), t.Output()); err == nil || !strings.Contains(err.Error(), "could not fetch") {
		t.Errorf("Get = %v, want that Maven could not", err)
	}
	if n := s.downloads(); n != 2 {
		t.Errorf("Maven ran %d times, want twice", n)
	}
}

// What is missing, and cannot be installed, is an error that says what would be right.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("SURESTART_CACHE", t.TempDir())
	t.Setenv("SURESTART_CHROMIUM", "")
	for tool, want := range map[*Tool]string{
		Java:       "install openjdk-17-jre-headless",
		Maven:      "mvn is needed on PATH: missing: install it, for example: apt-get install maven",
		Python:     "install python3 python3-venv",
		CC:         "install libc6-dev gcc",
		Chromium:   "install fontconfig fonts-dejavu-core chromium",
		Prometheus: "install prometheus",
		TLC:        "install ca-certificates openjdk-17-jre-headless",
		Kafka:      "install ca-certificates openjdk-17-jre-headless",
	} {
		_, err := tool.Get(t.Context(), t.Output())
		if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), strings.TrimPrefix(want, "install ")) {
			t.Errorf("%s: %v, want ErrMissing and %q", tool.name, err, want)
		}
		if !strings.Contains(Plan(context.Background()), tool.name) {
			t.Errorf("the plan does not have %s: %s", tool.name, Plan(context.Background()))
		}
	}
}

func TestOldJava(t *testing.T) {
	s := newSandbox(t)
	java := filepath.Join(filepath.Dir(s.cache), "bin", "java")
	if err := os.WriteFile(java, []byte("#!/bin/sh\necho '    java.specification.version = 11' >&2\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Java.Find(t.Context()); err == nil || !strings.Contains(err.Error(), "is version 11; 17 or newer is needed") {
		t.Errorf("Find = %v", err)
	}
}

func TestCommand(t *testing.T) {
	for _, args := range [][]string{nil, {"tlcc"}, {"tlc", "more"}, {"venv"}} {
		var out, log strings.Builder
		if err := command(t.Context(), "", args, &out, &log); err == nil || out.Len() > 0 || !strings.Contains(err.Error(), "tools plan") {
			t.Errorf("tools %q: %v, and prints %q, want the usage", args, err, out.String())
		}
	}
	t.Setenv("PATH", t.TempDir())
	var out, log strings.Builder
	if err := command(t.Context(), "", []string{"maven"}, &out, &log); err == nil || !strings.HasPrefix(err.Error(), "mvn is needed") {
		t.Errorf("tools maven without one: %v", err)
	}
}

// The pins are read completely: a malformed line is an error.
func TestPins(t *testing.T) {
	for name, sums := range map[string]string{"SHA256SUMS": sums, "SHA256SUMS-oldest": oldestSums} {
		pinned, err := parse(sums)
		if err != nil || len(pinned) != strings.Count(sums, "\n") {
			t.Errorf("%s: %d pins in %d lines, %v", name, len(pinned), strings.Count(sums, "\n"), err)
		}
	}
	good := strings.Repeat("0", 64)
	for _, bad := range []string{"", good, good + " a.jar\n", good + "  ../a.jar\n", "00  a.jar\n"} {
		if pinned, err := parse(bad); err == nil {
			t.Errorf("parse(%q) = %v, want an error", bad, pinned)
		}
	}
}

// Real: the jars that the runner has fetched are those that are pinned.
func TestFetchedJars(t *testing.T) {
	if os.Getenv("KAFKA_LIB") == "" {
		if os.Getenv("SURESTART_NO_SKIP") == "1" {
			t.Fatal("missing, and SURESTART_NO_SKIP is set: KAFKA_LIB and TLC_JAR, as tools env prints them")
		}
		t.Skip("missing: KAFKA_LIB and TLC_JAR, as tools env prints them")
	}
	for variable, tool := range map[string]*Tool{"KAFKA_LIB": Kafka, "TLC_JAR": TLC} {
		if where, err := tool.Find(t.Context()); err != nil || where != os.Getenv(variable) {
			t.Errorf("%s is %s; found: %s, %v", variable, os.Getenv(variable), where, err)
		}
	}
}
