package faults

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/seed3893aba4/surestart/verify/internal/machine"
	"github.com/seed3893aba4/surestart/verify/internal/machine/fridge"
)

// Every patch applies to the tree as it is, and each guarantee has two or more.
// That each is caught is shown by ./check faults.
func TestPatchesApply(t *testing.T) {
	all, err := All(machine.All())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 40 {
		t.Errorf("%d seeded faults, want 40 or more", len(all))
	}
	of := make(map[string]int)
	for _, f := range all {
		of[f.Guarantee]++
		v, err := f.Variant(t.Context(), "../../..")
		if err != nil {
			t.Error(err)
			continue
		}
		for name, text := range v.Files {
			was, err := os.ReadFile(filepath.Join("../../..", name))
			if err != nil || string(was) == string(text) {
				t.Errorf("%s leaves %s as it was (%v)", f.Name, name, err)
			}
		}
	}
	for _, m := range machine.All() {
		for _, g := range m.Guarantees {
			if of[g.ID] < 2 {
				t.Errorf("%d seeded faults break %v, want two or more", of[g.ID], g)
			}
		}
	}
}

// Each guarantee of delivery has a fault in the core, one in the codec, the sender or what is above it, and one in the
// connection, except where docs/verify.md says that a connection cannot break it. A patch changes one file.
func TestRoomsOfDelivery(t *testing.T) {
	all, err := All(machine.All())
	if err != nil {
		t.Fatal(err)
	}
	rooms := make(map[string][]string)
	for _, f := range all {
		if len(f.Files) != 1 {
			t.Errorf("%s changes %v", f.Name, f.Files)
		}
		room := "around"
		switch path.Dir(f.Files[0]) {
		case "internal/core":
			room = "core"
		case "producer/internal/connection":
			room = "connection"
		}
		rooms[f.Guarantee] = append(rooms[f.Guarantee], room)
	}
	for _, g := range machine.Delivery.Guarantees {
		for _, room := range []string{"core", "around", "connection"} {
			cannot := room == "connection" && slices.Contains([]string{"D1", "D6"}, g.ID)
			if has := slices.Contains(rooms[g.ID], room); has == cannot {
				t.Errorf("%v: a fault in the %s: %t, and docs/verify.md says %t", g, room, has, !cannot)
			}
		}
	}
}

const bulb = `Guarantee: F2 Lit
Story: It saves a bulb.

--- a/verify/internal/machine/fridge/fridge.go
+++ b/verify/internal/machine/fridge/fridge.go
@@ -11,7 +11,6 @@
 // Open opens the door, and the light goes on (F2).
 func (f *Fridge) Open() {
 	f.Ajar = true
-	f.Lit = true
 }
 
 // Shut shuts the door, and the light goes off (F1).
`

// A fault of another machine is tried by that one's tests, and caught by the name of its guarantee.
func TestFaultOfAnotherMachine(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	all, err := Read(fstest.MapFS{"f02-bulb.patch": {Data: []byte(bulb)}}, append(machine.All(), fridge.Machine))
	if err != nil {
		t.Fatal(err)
	}
	var got []Result
	if err := Run(t.Context(), root, all, true, func(r Result) { got = append(got, r) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !got[0].Caught || got[0].Catches[0].Layer != "tests of F2" {
		t.Errorf("%+v", got)
	}
	for was, is := range map[string]string{"F2": "F3", "Lit\n": "Dark\n", "machine/fridge/fridge.go": "machine/machine.go", "Story": "Tale"} {
		if _, err := Read(fstest.MapFS{"x.patch": {Data: []byte(strings.ReplaceAll(bulb, was, is))}}, []*machine.Machine{fridge.Machine}); err == nil {
			t.Errorf("with %q for %q it is read", is, was)
		}
	}
}
