package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A manifest says what must hold of the specification: manifest.json.
type manifest struct {
	Models   []model   `json:"models"`
	Variants []variant `json:"variants"`
}

// A model is a configuration that TLC must find no fault with, and the size
// of what it then has looked at.
type model struct {
	Name       string   `json:"name"`
	Cfg        string   `json:"cfg"`
	Module     string   `json:"module"`
	Bound      string   `json:"bound"`
	In         []string `json:"in"`   // the commands that check it
	Also       []string `json:"also"` // what TLC checks besides: deadlock
	Properties []string `json:"properties"`
	States     int      `json:"states"` // distinct
	// Of a model whose whole graph is dumped; Edges counts distinct (source,
	// label, target) without the step Terminating, Labels each action's.
	Graph  bool           `json:"graph"`
	Edges  int            `json:"edges,omitempty"`
	Depth  int            `json:"depth,omitempty"`
	Labels map[string]int `json:"labels,omitempty"`
}

// A variant is the algorithm with one guard weakened, and what TLC must
// refute of it: its property and those that it also breaks, and no other.
type variant struct {
	Name      string   `json:"name"`
	Guarantee string   `json:"guarantee"`
	Property  string   `json:"property"`
	Guard     string   `json:"guard"`
	Instead   string   `json:"instead"`
	Mistake   string   `json:"mistake"`
	Module    string   `json:"module,omitempty"` // Weak, unless it is another: then its property is all that is asked
	Cfg       string   `json:"cfg"`
	Breaks    []string `json:"breaks"` // the other properties
}

func loadManifest(dir string) (*manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return nil, err
	}
	m := new(manifest)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	return m, nil
}

func (m *manifest) save(dir string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "manifest.json"), b.Bytes(), 0o644)
}

// A config is a TLC configuration of this folder. They are all written alike:
// the behaviours first, then the constants, last what is checked.
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

// graphOnly is the configuration without what is checked: for a dump, which
// should take no longer than it must.
func (c *config) graphOnly() string {
	for _, s := range section.FindAllStringIndex(c.text, -1) {
		if word := c.text[s[0]:s[1]]; strings.HasPrefix(word, "INVARIANT") || strings.HasPrefix(word, "PROPERT") {
			return c.text[:s[0]]
		}
	}
	return c.text
}

// The properties that are invariants, and those that need fairness, with the
// specification that has it; all others are about single steps.
var (
	invariants = []string{"TypeOK", "NoLeak", "ProgressAwaited", "SupervisorTypeOK", "OnlyATimer"}
	fairness   = map[string]string{"Progress": "Spec", "ProgressOnContextEnd": "PatientSpec"}
)

// everything is what a variant is held against; Deadlock is TLC's own check.
var everything = []string{
	"TypeOK", "Deadlock", "SingleFlight", "Idempotence", "StartedIsOpen", "Rollback", "NoStaleFailure",
	"NoForeignCancellation", "NoLeak", "StopWins", "DrainFirst", "UseOnlyStarted", "CloseIsFinal",
	"ProgressAwaited", "Progress", "ProgressOnContextEnd", "OwnGeneration", "KeepsContractStep",
}

// asking returns the configuration of a variant with other properties; those
// that need fairness need the same.
func (c *config) asking(properties []string) string {
	var b strings.Builder
	spec := ""
	var inv, prop []string
	for _, p := range properties {
		switch {
		case p == "Deadlock":
		case slices.Contains(invariants, p):
			inv = append(inv, p)
		default:
			prop = append(prop, p)
			spec = cmp.Or(spec, fairness[p])
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
