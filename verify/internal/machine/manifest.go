package machine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Manifest lists what must hold of a specification: manifest.json.
type Manifest struct {
	Models   []Model   `json:"models"`
	Variants []Variant `json:"variants"`
}

// Model is a configuration in which TLC must find no error, and the size of the graph that it must
// find.
type Model struct {
	Name       string   `json:"name"`
	Cfg        string   `json:"cfg"`
	Module     string   `json:"module"`
	Bound      string   `json:"bound"`
	In         []string `json:"in"`   // the commands that check it
	Also       []string `json:"also"` // what TLC checks besides: deadlock
	Properties []string `json:"properties"`
	States     int      `json:"states"` // distinct
	// These fields are for a model whose whole graph is dumped. Edges counts distinct triples of
	// source, label and target, without the step Terminating. Labels counts those of each action.
	Graph  bool           `json:"graph"`
	Edges  int            `json:"edges,omitempty"`
	Depth  int            `json:"depth,omitempty"`
	Labels map[string]int `json:"labels,omitempty"`
}

// Variant is the specification with one guard weakened. TLC must refute its property and those that
// it also breaks, and no other.
type Variant struct {
	Name      string `json:"name"`
	Guarantee string `json:"guarantee"`
	Property  string `json:"property"`
	Guard     string `json:"guard"`
	Instead   string `json:"instead"`
	Mistake   string `json:"mistake"`
	Cfg       string `json:"cfg"`
	// Module has the weakened guard; empty: Specification.Weak. A variant with a module of its own
	// is checked against its own property alone.
	Module string   `json:"module,omitempty"`
	Breaks []string `json:"breaks"` // the other properties
}

func (s *Specification) manifest(root string) string {
	return filepath.Join(root, filepath.FromSlash(s.Dir), s.Manifest)
}

// Load reads the manifest in the checkout at root.
func (s *Specification) Load(root string) (*Manifest, error) {
	text, err := os.ReadFile(s.manifest(root))
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Manifest, err)
	}
	return m, nil
}

// Save writes the manifest into the checkout at root.
func (s *Specification) Save(root string, m *Manifest) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return err
	}
	return os.WriteFile(s.manifest(root), b.Bytes(), 0o644)
}
