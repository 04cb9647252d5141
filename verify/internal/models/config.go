package models

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
)

// A config is a TLC configuration of tla/. All have the same order: the behaviours, the constants,
// and what is checked.
type config struct {
	text       string
	constants  string            // the section, verbatim
	instead    map[string]string // guard -> what replaces it
	init       string            // Init, unless it is another
	fairness   string            // the specification with fairness, if any
	properties []string          // invariants and properties
	unchecked  bool              // deadlock is not looked for
}

var (
	replaced = regexp.MustCompile(`(?m)^\s+(\w+)\s*<-\s*(\w+)\s*$`)
	section  = regexp.MustCompile(`(?m)^(INIT|NEXT|SPECIFICATION|CONSTANTS|CHECK_DEADLOCK|ACTION_CONSTRAINT|SYMMETRY|INVARIANTS?|PROPERTY|PROPERTIES)\b`)
)

func readConfig(path string) (*config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &config{text: string(text), instead: map[string]string{}}
	starts := section.FindAllStringSubmatchIndex(c.text, -1)
	if starts == nil || starts[0][0] != 0 {
		return nil, fmt.Errorf("%s: want a section to begin it", filepath.Base(path))
	}
	for i, s := range starts {
		end := len(c.text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		body := c.text[s[1]:end]
		switch c.text[s[2]:s[3]] {
		case "INIT":
			c.init = strings.TrimSpace(body)
		case "SPECIFICATION":
			c.fairness = strings.TrimSpace(body)
		case "CHECK_DEADLOCK":
			c.unchecked = strings.TrimSpace(body) == "FALSE"
		case "CONSTANTS":
			c.constants = c.text[s[0]:end]
			for _, m := range replaced.FindAllStringSubmatch(body, -1) {
				c.instead[m[1]] = m[2]
			}
		case "INVARIANT", "INVARIANTS", "PROPERTY", "PROPERTIES":
			c.properties = append(c.properties, strings.Fields(body)...)
		}
	}
	return c, nil
}

// asking returns the configuration of a variant with other properties. Properties that need
// fairness all need the same.
func (c *config) asking(s machine.Specification, properties []string) string {
	var b strings.Builder
	spec := ""
	var inv, prop []string
	for _, p := range properties {
		switch {
		case p == "Deadlock":
		case slices.Contains(s.Invariants, p):
			inv = append(inv, p)
		default:
			prop = append(prop, p)
			spec = cmp.Or(spec, s.Fairness[p])
		}
	}
	if init := cmp.Or(c.init, "Init"); spec != "" {
		fmt.Fprintf(&b, "SPECIFICATION %s\n", spec+strings.TrimPrefix(init, "Init"))
	} else {
		fmt.Fprintf(&b, "INIT %s\nNEXT Next\n", init)
	}
	b.WriteString(c.constants)
	if !slices.Contains(properties, "Deadlock") {
		b.WriteString("\nCHECK_DEADLOCK FALSE\n")
	}
	if len(inv) > 0 {
		fmt.Fprintf(&b, "INVARIANTS %s\n", strings.Join(inv, " "))
	}
	if len(prop) > 0 {
		fmt.Fprintf(&b, "PROPERTIES %s\n", strings.Join(prop, " "))
	}
	return b.String()
}
