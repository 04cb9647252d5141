package tools

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// An archive is made once for a JVM and its jars. Without one there are no options, and no error.
func TestArchive(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SURESTART_CACHE", filepath.Join(dir, "cache"))
	t.Setenv("PATH", dir)
	java := filepath.Join(dir, "java")
	if err := os.WriteFile(java, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	trained, fails := 0, error(nil)
	get := func(jars string) []string {
		t.Helper()
		options, err := Archive(t.Context(), t.Output(), "program", jars, func(option string) error {
			trained++
			_, file, _ := strings.Cut(option, "-XX:ArchiveClassesAtExit=")
			return errors.Join(os.WriteFile(file, []byte("classes"), 0o644), fails)
		})
		if err != nil {
			t.Fatal(err)
		}
		return options
	}
	fails = errors.New("it does not end well")
	if got := get("a.jar"); got != nil || trained != 1 {
		t.Errorf("options %q after %d trainings that failed", got, trained)
	}
	fails = nil
	first := get("a.jar")
	_, file, ok := strings.Cut(strings.Join(first, " "), "-XX:SharedArchiveFile=")
	file, _, _ = strings.Cut(file, " ")
	if text, err := os.ReadFile(file); !ok || err != nil || string(text) != "classes" || trained != 2 {
		t.Errorf("options %q, whose file has %q (%v), after %d trainings; want 2", first, text, err, trained)
	}
	if again := get("a.jar"); !slices.Equal(again, first) || trained != 2 {
		t.Errorf("options %q the second time, after %d trainings", again, trained)
	}
	if other := get("b.jar"); slices.Equal(other, first) || trained != 3 {
		t.Errorf("options %q with other jars, after %d trainings", other, trained)
	}
	if past := time.Unix(1e9, 0); os.Chtimes(java, past, past) != nil {
		t.Fatal("the time of java cannot be set")
	}
	if other := get("a.jar"); slices.Equal(other, first) || trained != 4 {
		t.Errorf("options %q with another java, after %d trainings", other, trained)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if options, err := Archive(ended, t.Output(), "program", "c.jar", func(string) error { return ended.Err() }); options != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v once the context has ended", options, err)
	}
}
