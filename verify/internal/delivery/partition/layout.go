package partition

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/seed3893aba4/surestart/internal/core"
)

// The types of package core, field by field. With them the fields can be read as fast as the core
// itself reads them. sameAs compares them with the real ones when a walk begins.
type (
	fields struct {
		mode      core.Mode
		ids       *ids
		id        *identity
		epoch     int16
		run       uint8
		state     core.State
		window    window
		span      core.Message
		size      int
		undecided int
		queued    int
		refused   bool
		base      int64
		sequence  int64
		out       []core.Decided
		runs      []core.Run
	}
	window struct {
		ring       []uint8
		first, end core.Message
	}
	ids struct {
		limits core.Limits
		newest *identity
		all    []*identity
	}
	identity struct {
		id             int64
		highest, floor int16
	}
)

// Marks of a message.
const (
	gone = iota
	open
	decided
)

// fieldsOf returns the fields of a core.
func fieldsOf(p *core.Partition) *fields { return (*fields)(unsafe.Pointer(p)) }

// fieldsOfIDs returns the fields that the partitions share.
func fieldsOfIDs(i *core.IDs) *ids { return (*ids)(unsafe.Pointer(i)) }

// known returns an error if the core has a field that is not read here, or that has another type.
func known() error {
	if err := sameAs(reflect.TypeFor[core.Partition](), reflect.TypeFor[fields]()); err != nil {
		return err
	}
	return sameAs(reflect.TypeFor[core.IDs](), reflect.TypeFor[ids]())
}

// sameAs compares two types by the names, places and kinds of their fields.
func sameAs(real, read reflect.Type) error {
	differ := func(what string, a, b any) error {
		return fmt.Errorf("partition: %s of %v is %v, and is read as %v: say in layout.go what the model has of it", what, real, a, b)
	}
	if real == read {
		return nil
	}
	if real.Kind() != read.Kind() || real.Size() != read.Size() {
		return differ("the kind", real.Kind(), read.Kind())
	}
	switch real.Kind() {
	case reflect.Pointer, reflect.Slice:
		return sameAs(real.Elem(), read.Elem())
	case reflect.Struct:
		if a, b := real.NumField(), read.NumField(); a != b {
			return differ("the number of fields", a, b)
		}
		for i := range real.NumField() {
			a, b := real.Field(i), read.Field(i)
			if a.Name != b.Name || a.Offset != b.Offset {
				return differ(fmt.Sprintf("field %d", i), a.Name, b.Name)
			}
			if err := sameAs(a.Type, b.Type); err != nil {
				return err
			}
		}
	}
	return nil
}
