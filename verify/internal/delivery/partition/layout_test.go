package partition

import (
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/seed3893aba4/surestart/internal/core"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// A core has no field that is not read: one more, one less, or one that has moved or changed its type is noticed.
func TestEveryFieldIsRead(t *testing.T) {
	if err := known(); err != nil {
		t.Fatal(err)
	}
	type (
		real struct {
			A int
			B struct{ C uint8 }
			D []int64
			E *int16
		}
		more struct {
			A int
			B struct{ C, X uint8 }
			D []int64
			E *int16
		}
		renamed struct {
			A int
			B struct{ X uint8 }
			D []int64
			E *int16
		}
		sliced struct {
			A int
			B struct{ C uint8 }
			D []int32
			E *int16
		}
		pointed struct {
			A int
			B struct{ C uint8 }
			D []int64
			E *int32
		}
		fewer struct {
			A int
			B struct{ C uint8 }
			D []int64
		}
	)
	is := reflect.TypeFor[real]()
	if err := sameAs(is, is); err != nil {
		t.Error(err)
	}
	for _, read := range []reflect.Type{reflect.TypeFor[more](), reflect.TypeFor[renamed](), reflect.TypeFor[sliced](), reflect.TypeFor[pointed](), reflect.TypeFor[fewer]()} {
		if err := sameAs(is, read); err == nil || !strings.Contains(err.Error(), "layout.go") {
			t.Errorf("read as %v: %v", read, err)
		}
	}
}

// Whatever field of a core is altered, the core is not what the model says, and a guarantee is named.
func TestEveryFieldIsCompared(t *testing.T) {
	b := model.Bound{Partitions: 1, Idempotent: true, MaxBatch: 2, MaxSequence: 9, EpochLimit: 9, MaxMessages: 4, MaxEpoch: 5, MaxIDs: 1, Codes: model.AllCodes}
	steps := []model.Step{{Action: model.Admit}, {Action: model.Admit}, {Action: model.Admit}, {Action: model.Admit}, {Action: model.WithdrawQueued, Message: 1},
		{Action: model.TakeInNextEpoch, N: 2}, {Action: model.Send}, {Action: model.Write}, {Action: model.GiveUp, Message: 2}}
	begin := func() *Pair {
		p := &Pair{Graph: &model.Graph{Bound: b}}
		p.Begin()
		for _, st := range steps {
			if err := p.Take(Step{Step: st}); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	altered := 0
	var alter func(name string, of func(*Pair) reflect.Value)
	alter = func(name string, of func(*Pair) reflect.Value) {
		p := begin()
		v := of(p)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				alter(name+"."+v.Type().Field(i).Name, func(p *Pair) reflect.Value { return of(p).Field(i) })
			}
			return
		case reflect.Pointer, reflect.Slice:
			if name == "out" || name == "runs" {
				return // memory, of which what was returned is compared
			}
			v = v.Index(3) // of a ring
		}
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
		switch {
		case v.Kind() == reflect.Bool:
			v.SetBool(!v.Bool())
		case v.CanInt():
			v.SetInt(v.Int() + 1)
		default:
			v.SetUint(v.Uint() + 1)
		}
		altered++
		if err := p.agree(Step{}, &p.Model, nil); err == nil || !strings.Contains(err.Error(), " is broken") {
			t.Errorf("%s is altered, and nothing notices: %v", name, err)
		}
	}
	of := reflect.TypeFor[fields]()
	for i := range of.NumField() {
		if name := of.Field(i).Name; name != "ids" && name != "id" {
			alter(name, func(p *Pair) reflect.Value { return reflect.ValueOf(fieldsOf(p.cores[0])).Elem().Field(i) })
		}
	}
	one := reflect.TypeFor[identity]()
	for i := range one.NumField() {
		alter("id."+one.Field(i).Name, func(p *Pair) reflect.Value { return reflect.ValueOf(fieldsOfIDs(p.ids).newest).Elem().Field(i) })
	}
	if altered < 17 {
		t.Errorf("%d fields were altered", altered)
	}
}

// A verdict that comes twice, or of a message that was not admitted, is noticed; so is one that does not come.
func TestVerdictsAreCompared(t *testing.T) {
	g, err := model.Bound{Partitions: 1, Idempotent: true, MaxBatch: 1, MaxSequence: 9, EpochLimit: 9, MaxMessages: 2, MaxEpoch: 5, MaxIDs: 1}.Graph()
	if err != nil {
		t.Fatal(err)
	}
	for want, out := range map[string][]core.Decided{
		"D1 OneVerdict": {{Run: core.Run{First: 1, Last: 1}, Verdict: core.NotSent}, {Run: core.Run{First: 1, Last: 1}, Verdict: core.NotSent}},
		"D1":            {{Run: core.Run{First: 9, Last: 9}, Verdict: core.NotSent}},
		"D2 Truth":      {{Run: core.Run{First: 1, Last: 1}, Verdict: core.Delivered}},
	} {
		p := &Pair{Graph: g}
		p.Begin()
		if err := p.Take(Step{Step: model.Step{Action: model.Admit}}); err != nil {
			t.Fatal(err)
		}
		p.note(0, core.Outcome{Decided: out})
		if err := p.compare(Step{Step: model.Step{Action: model.AnswerOk}}, &p.Model); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", out, err)
		}
	}
}
