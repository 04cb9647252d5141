package models

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
)

// variants checks that TLC refutes each weakened variant with the name of its own property. If the
// command asks for the other properties (OthersIn), TLC must refute exactly those that the manifest
// lists.
func (k checker) variants(ctx context.Context, m *machine.Manifest, command string) error {
	begin := time.Now()
	say("%d weakened variants: TLC must refute each", len(m.Variants))
	if err := twoAtOnce(m.Variants, func(v machine.Variant) error {
		begin := time.Now()
		if err := k.variant(ctx, v, slices.Contains(k.OthersIn, command)); err != nil {
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

func describe(v machine.Variant) string {
	s := fmt.Sprintf("%s refuted by %s for %s", v.Property, v.Instead, v.Guard)
	if len(v.Breaks) > 0 {
		s += " (and " + strings.Join(v.Breaks, ", ") + ")"
	}
	return s
}

func (k checker) variant(ctx context.Context, v machine.Variant, others bool) error {
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
	// Its own property, with the file as it is.
	if err := k.expect(ctx, v, c.text, []string{v.Property}, v.Property); err != nil {
		return err
	}
	if !others || v.Module != "" {
		return nil
	}
	// The other properties that it breaks, each alone.
	for _, p := range v.Breaks {
		if err := k.expect(ctx, v, c.asking(k.Specification, []string{p}), []string{p}, p); err != nil {
			return err
		}
	}
	for _, group := range k.others(v, v.Breaks) {
		if err := k.expect(ctx, v, c.asking(k.Specification, group), group, ""); err != nil {
			return err
		}
	}
	return nil
}

// others returns the properties without the variant's own and those in without, in groups that one
// run of TLC can check: each group belongs to one specification.
func (k checker) others(v machine.Variant, without []string) [][]string {
	groups := map[string][]string{}
	for _, p := range k.Properties {
		if p != v.Property && !slices.Contains(without, p) {
			spec := cmp.Or(k.Fairness[p], "Spec")
			groups[spec] = append(groups[spec], p)
		}
	}
	return slices.Collect(maps.Values(groups))
}

// findBreaks lists what a variant breaks in addition to its own property.
func (k checker) findBreaks(ctx context.Context, v machine.Variant) ([]string, error) {
	k.small = true
	breaks := []string{}
	if v.Module != "" {
		return breaks, nil
	}
	c, err := readConfig(filepath.Join(k.dir, v.Cfg))
	if err != nil {
		return nil, err
	}
	for _, group := range k.others(v, nil) {
		for len(group) > 0 {
			got, err := k.run(ctx, c.asking(k.Specification, group), k.Weak, group, "-workers", "1")
			if err != nil {
				return nil, err
			}
			if got.Broken == "" {
				break
			}
			say("%s also breaks %s", v.Name, got.Broken)
			breaks = append(breaks, got.Broken)
			group = slices.DeleteFunc(group, func(p string) bool { return p == got.Broken })
		}
	}
	slices.SortFunc(breaks, func(a, b string) int { return slices.Index(k.Properties, a) - slices.Index(k.Properties, b) })
	return breaks, nil
}

// expect runs a variant and compares the property that TLC refutes ("": none) with the expected
// one.
func (k checker) expect(ctx context.Context, of machine.Variant, cfg string, properties []string, want string) error {
	v, err := k.run(ctx, cfg, cmp.Or(of.Module, k.Weak), properties, "-workers", "1")
	switch {
	case err != nil:
		return err
	case v.Broken == want:
		return nil
	case v.Broken == "":
		return fmt.Errorf("TLC finds no violation of %s; the guard matters to it no more", want)
	case want == "":
		return fmt.Errorf("TLC also refutes %s, which the manifest does not list:\n%s", v.Broken, v.Log)
	default:
		return fmt.Errorf("TLC refutes %s before %s:\n%s", v.Broken, want, v.Log)
	}
}

var witness = regexp.MustCompile(`Seen\(\s*\d+,\s*"([^"]+)"`)

// reach checks that the premises of the guarantees occur: TLC must reach every situation that the
// module names.
func (k checker) reach(ctx context.Context) error {
	turns <- struct{}{}
	defer func() { <-turns }()
	text, err := os.ReadFile(filepath.Join(k.dir, k.Reach+".tla"))
	if err != nil {
		return err
	}
	say("%s: every premise of a guarantee must occur", k.Reach)
	states, logs := 0, ""
	for _, cfg := range k.ReachIn {
		c, err := readConfig(filepath.Join(k.dir, cfg))
		if err != nil {
			return err
		}
		v, err := k.run(ctx, c.text, k.Reach, nil, "-workers", "1")
		if err != nil {
			return err
		}
		if v.Broken != "" {
			return fmt.Errorf("%s: %s", cfg, v.Log)
		}
		states, logs = states+v.States, logs+v.Log
	}
	all := witness.FindAllStringSubmatch(string(text), -1)
	var missing []string
	for _, w := range all {
		if !strings.Contains(logs, fmt.Sprintf("%q", "REACHED "+w[1])) {
			missing = append(missing, w[1])
		}
	}
	if len(all) == 0 || missing != nil {
		return fmt.Errorf("reach: of %d situations that %s.tla names these never occur:\n%s", len(all), k.Reach, strings.Join(missing, "\n"))
	}
	fmt.Printf("CHECKED tla/reach states=%d situations=%d\n", states, len(all))
	return nil
}
