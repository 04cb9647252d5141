package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// variants checks that TLC refutes each weakened variant with the name of its
// own property, and of the others exactly those that the manifest lists.
func (k checker) variants(m *manifest) error {
	begin := time.Now()
	say("%d weakened variants: TLC must refute each", len(m.Variants))
	if err := twoAtOnce(m.Variants, func(v variant) error {
		begin := time.Now()
		if err := k.variant(v); err != nil {
			say("%s FAILED", v.Name)
			return fmt.Errorf("variant %s: %w", v.Name, err)
		}
		say("%-4s %s, %.0f s", v.Guarantee, describe(v), time.Since(begin).Seconds())
		return nil
	}); err != nil {
		return err
	}
	say("variants: %.0f s", time.Since(begin).Seconds())
	fmt.Printf("CHECKED tla/weak variants=%d refuted=%d\n", len(m.Variants), len(m.Variants))
	return nil
}

func describe(v variant) string {
	s := fmt.Sprintf("%s refuted by %s for %s", v.Property, v.Instead, v.Guard)
	if len(v.Breaks) > 0 {
		s += " (and " + strings.Join(v.Breaks, ", ") + ")"
	}
	return s
}

func (k checker) variant(v variant) error {
	k.small = true
	c, err := readConfig(filepath.Join(k.dir, v.Cfg))
	if err != nil {
		return err
	}
	if len(c.instead) != 1 || c.instead[v.Guard] != v.Instead {
		return fmt.Errorf("%s replaces %v, the manifest says %s by %s", v.Cfg, c.instead, v.Guard, v.Instead)
	}
	if !slices.Equal(c.properties, []string{v.Property}) {
		return fmt.Errorf("%s checks %v, the manifest says %s", v.Cfg, c.properties, v.Property)
	}
	// Its own property, by the file as it stands.
	if err := k.expect(v, c.text, []string{v.Property}, v.Property); err != nil {
		return err
	}
	// What else it breaks, each alone.
	for _, p := range v.Breaks {
		if err := k.expect(v, c.asking([]string{p}), []string{p}, p); err != nil {
			return err
		}
	}
	for _, group := range v.others(v.Breaks) {
		if err := k.expect(v, c.asking(group), group, ""); err != nil {
			return err
		}
	}
	return nil
}

// others are the properties, but the variant's own and those in without, in
// groups that one run of TLC can check: all of one specification.
func (v variant) others(without []string) [][]string {
	if v.Module != "" {
		return nil
	}
	groups := map[string][]string{}
	for _, p := range everything {
		if p != v.Property && !slices.Contains(without, p) {
			spec := cmp.Or(fairness[p], "Spec")
			groups[spec] = append(groups[spec], p)
		}
	}
	return slices.Collect(maps.Values(groups))
}

func (v variant) module() string { return cmp.Or(v.Module, "Weak") }

// findBreaks lists what a variant breaks beside its own property.
func (k checker) findBreaks(v variant) ([]string, error) {
	k.small = true
	c, err := readConfig(filepath.Join(k.dir, v.Cfg))
	if err != nil {
		return nil, err
	}
	breaks := []string{}
	for _, group := range v.others(nil) {
		for len(group) > 0 {
			got, err := k.run(c.asking(group), v.module(), group, "-workers", "1")
			if err != nil {
				return nil, err
			}
			if got.broken == "" {
				break
			}
			say("%s also breaks %s", v.Name, got.broken)
			breaks = append(breaks, got.broken)
			group = slices.DeleteFunc(group, func(p string) bool { return p == got.broken })
		}
	}
	slices.SortFunc(breaks, func(a, b string) int { return slices.Index(everything, a) - slices.Index(everything, b) })
	return breaks, nil
}

// expect runs a variant and holds the property refuted ("": none) against
// what was to be expected.
func (k checker) expect(of variant, cfg string, properties []string, want string) error {
	v, err := k.run(cfg, of.module(), properties, "-workers", "1")
	switch {
	case err != nil:
		return err
	case v.broken == want:
		return nil
	case v.broken == "":
		return fmt.Errorf("TLC finds no violation of %s; the guard matters to it no more", want)
	case want == "":
		return fmt.Errorf("TLC also refutes %s, which the manifest does not list:\n%s", v.broken, v.log)
	default:
		return fmt.Errorf("TLC refutes %s before %s:\n%s", v.broken, want, v.log)
	}
}

var witness = regexp.MustCompile(`Seen\(\s*\d+,\s*"([^"]+)"`)

// reach checks that no guarantee holds only because its premise never comes
// true: every situation that Reach.tla names must occur.
func (k checker) reach() error {
	text, err := os.ReadFile(filepath.Join(k.dir, "Reach.tla"))
	if err != nil {
		return err
	}
	c, err := readConfig(filepath.Join(k.dir, "Reach.cfg"))
	if err != nil {
		return err
	}
	say("reach: every premise of a guarantee must occur")
	v, err := k.run(c.text, "Reach", nil, "-workers", "1")
	if err != nil {
		return err
	}
	if v.broken != "" {
		return fmt.Errorf("reach: %s", v.log)
	}
	all := witness.FindAllStringSubmatch(string(text), -1)
	var missing []string
	for _, w := range all {
		if !strings.Contains(v.log, fmt.Sprintf("%q", "REACHED "+w[1])) {
			missing = append(missing, w[1])
		}
	}
	if len(all) == 0 || missing != nil {
		return fmt.Errorf("reach: of %d situations that Reach.tla names these never occur:\n%s", len(all), strings.Join(missing, "\n"))
	}
	fmt.Printf("CHECKED tla/reach states=%d situations=%d\n", v.states, len(all))
	return nil
}
