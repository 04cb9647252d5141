package faults

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed3893aba4/surestart/spec"
)

// Every patch applies to the tree as it is, and each guarantee has two or more.
// That each is caught is shown by go run ./internal/tools/faults.
func TestPatchesApply(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 40 {
		t.Errorf("%d seeded faults, want 40 or more", len(all))
	}
	of := make(map[string]int)
	for _, f := range all {
		of[f.Guarantee]++
		v, err := f.Variant(t.Context(), "../..")
		if err != nil {
			t.Error(err)
			continue
		}
		for name, text := range v.Files {
			was, err := os.ReadFile(filepath.Join("../..", name))
			if err != nil || string(was) == string(text) {
				t.Errorf("%s leaves %s as it was (%v)", f.Name, name, err)
			}
		}
	}
	for _, g := range spec.Guarantees() {
		if of[g.ID] < 2 {
			t.Errorf("%d seeded faults break %s %s, want two or more", of[g.ID], g.ID, g.Name)
		}
	}
}
