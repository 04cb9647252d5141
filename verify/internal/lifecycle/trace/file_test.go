package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// A trace is read as it was written. It is drawn as far as it is a behaviour of the model: all of
// it, or up to the step that has no place.
func TestTracesAreKeptAndDrawn(t *testing.T) {
	drawn, refused := 0, 0
	for seed := range uint64(40) {
		tr, err := Run(seed)
		if err != nil {
			t.Fatal(err)
		}
		all := append([]Corruption{{Trace: tr}}, tr.Corruptions(rand.New(rand.NewPCG(seed, 2)))...)
		for i, c := range all {
			var kept bytes.Buffer
			if err := c.Write(&kept, "for a test"); err != nil {
				t.Fatal(err)
			}
			back, err := Read(&kept)
			if err != nil || c.Hash() != back.Hash() || i == 0 && !reflect.DeepEqual(tr, back) {
				t.Fatalf("seed %d, %s: it is read as another one: %v", seed, c.What, err)
			}
			v, want := back.Check()
			line, err := back.Timeline()
			if (err == nil) != (want == nil) || (i == 0) != (err == nil) {
				t.Fatalf("seed %d, %s: %v when it is drawn, %v when it is checked", seed, c.What, err, want)
			}
			var r *Rejected
			switch n := len(line.Steps); {
			case err == nil && (n != v.Steps || line.What != nil || line.Steps[n-1].State == "Starting"):
				t.Errorf("seed %d: %d of %d steps are drawn, and %q", seed, n, v.Steps, line.What)
			case errors.As(err, &r) && (n < r.Placed || n > r.Placed+1 || len(line.What) == 0 || !strings.Contains(line.Title, r.Guarantee.ID)):
				t.Errorf("seed %d, %s: %d steps are drawn, %d have a place: %q", seed, c.What, n, r.Placed, line.Title)
			}
			if drawn++; err != nil {
				refused++
			}
		}
	}
	fmt.Printf("CHECKED traces drawn=%d refused=%d\n", drawn, refused)
}

// What is no trace is an error, and never a panic: each number of one is set to others.
func TestReadIsStrict(t *testing.T) {
	for _, text := range []string{"", "{}", `{"trace":2}`, `{"trace":1}`, `{"trace":1,"run":{}}`, `{"trace":1,"more":1}`} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read as a trace", text)
		}
	}
	var kept bytes.Buffer
	for seed := range uint64(20) { // the shortest of some
		tr, err := Run(seed)
		if err != nil {
			t.Fatal(err)
		}
		var one bytes.Buffer
		if err := tr.Write(&one, ""); err != nil {
			t.Fatal(err)
		}
		if seed == 0 || one.Len() < kept.Len() {
			kept = one
		}
	}
	var tree any
	if err := json.Unmarshal(kept.Bytes(), &tree); err != nil {
		t.Fatal(err)
	}
	altered := 0
	walk(tree, func(set func(any)) {
		for _, n := range []int{-1, 0, 9, 255} {
			set(n)
			text, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := Read(bytes.NewReader(text)); err == nil {
				back.Timeline()
			}
			altered++
		}
	})
	fmt.Printf("CHECKED traces altered=%d\n", altered)
}

// walk calls f for each number in a tree of JSON, with what sets it; it is put back afterwards.
func walk(tree any, f func(set func(any))) {
	visit := func(v any, set func(any)) {
		if _, number := v.(float64); number {
			f(set)
			set(v)
		} else {
			walk(v, f)
		}
	}
	switch tree := tree.(type) {
	case map[string]any:
		for name, v := range tree {
			visit(v, func(to any) { tree[name] = to })
		}
	case []any:
		for i, v := range tree {
			visit(v, func(to any) { tree[i] = to })
		}
	}
}
