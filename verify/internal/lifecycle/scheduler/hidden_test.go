package scheduler

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/spec"
)

// Every field of a lifecycle, and of its parts, is in the digest or has a reason why it is left
// out. The list has no field that does not exist. A new field is in the digest, and fails this test
// until a maintainer has classified it.
func TestEachFieldIsClassified(t *testing.T) {
	there := make(map[string]bool)
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			visit(typ.Elem())
		case reflect.Struct:
			name := typeName(typ)
			if !strings.HasSuffix(typ.PkgPath(), "/surestart/fsm") || there[name] {
				return
			}
			there[name] = true
			for i := range typ.NumField() {
				f := typ.Field(i)
				key := name + "." + f.Name
				there[key] = true
				why, listed := fields[key]
				if !listed {
					t.Errorf("%s (%v) is not in fields: may two codes that differ in it do different things? The digest has it until the list says why not", key, f.Type)
				}
				if why == counted {
					visit(f.Type)
				}
			}
		}
	}
	life := reflect.TypeFor[fsm.Lifecycle[int]]()
	visit(life)
	current, _ := life.FieldByName("current") // left out as a field; the attempts are there all the same
	visit(current.Type)
	visit(reflect.TypeFor[fsm.Lease[int]]())
	visit(reflect.TypeFor[fsm.Scope]())
	for key := range fields {
		if !there[key] {
			t.Errorf("fields has %s, which no type of fsm has", key)
		}
	}
	if len(fields) < 60 {
		t.Errorf("%d fields are classified; want 60 or more", len(fields))
	}
}

// The digest of two worlds that did the same is the same, and each of these fields,
// altered, alters it.
func TestDigestTellsFields(t *testing.T) {
	b := spec.Bound{Callers: 2, Parts: 1, Calls: 2, Fails: 1}
	steps := []string{"InvokeStart", "StartFast", "StartEnter", "OpenRetry", "TryAgain", "OpenPart"}
	after := func() *World {
		p := NewPair(b)
		for _, name := range steps {
			enabled, err := p.Enabled()
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range enabled {
				if st.Action.String() == name {
					if err := p.Take(st); err != nil {
						t.Fatal(err)
					}
					break
				}
			}
		}
		return p.World
	}
	one, two := after(), after()
	defer one.Close()
	defer two.Close()
	if one.hidden() != two.hidden() {
		t.Fatal("two worlds that did the same have two digests")
	}
	attempt := reflect.ValueOf(one.attempts[0].Attempt).Elem()
	for key, why := range fields {
		name, of := strings.CutPrefix(key, "attempt.")
		if !of || why != counted {
			continue
		}
		f := attempt.FieldByName(name)
		f = reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem()
		was := reflect.New(f.Type()).Elem()
		was.Set(f)
		f.Set(altered(f))
		if one.hidden() == two.hidden() {
			t.Errorf("%s altered from %v: the digest is the same", key, was)
		}
		f.Set(was)
	}
	if one.hidden() != two.hidden() {
		t.Error("altered and put back: another digest")
	}
}

// altered returns a value that the digest distinguishes from v.
func altered(v reflect.Value) reflect.Value {
	switch v.Interface().(type) {
	case error:
		return reflect.Zero(v.Type())
	case context.Context:
		return reflect.ValueOf(newCallContext(1).Context)
	case *time.Timer:
		return reflect.Zero(v.Type())
	case chan struct{}:
		ch := make(chan struct{})
		close(ch)
		return reflect.ValueOf(ch)
	}
	n := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Bool:
		n.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		n.SetInt(v.Int() + 1)
	case reflect.Uint8:
		n.SetUint(v.Uint() + 1)
	case reflect.Interface: // a nil error
		n.Set(reflect.ValueOf(errBad))
	case reflect.Pointer:
		if v.IsNil() {
			n.Set(reflect.New(v.Type().Elem()))
		}
	case reflect.Slice:
		n.Set(reflect.MakeSlice(v.Type(), v.Len()+1, v.Len()+1))
	case reflect.Func:
		if v.IsNil() {
			n.Set(reflect.MakeFunc(v.Type(), func([]reflect.Value) []reflect.Value { return nil }))
		}
	case reflect.Struct:
		over := n.FieldByName("over") // it is the useSet
		reflect.NewAt(over.Type(), over.Addr().UnsafePointer()).Elem().SetBool(true)
	}
	return n
}
