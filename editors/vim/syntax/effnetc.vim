" Vim syntax of effnetc's graph IR and loop IR.
if exists("b:current_syntax")
  finish
endif

syntax match effnetcComment "#.*$" contains=effnetcString
syntax region effnetcString start=+"+ skip=+\\.+ end=+"+ oneline
syntax match effnetcValue "%[A-Za-z0-9_.$/-]\+"
syntax match effnetcValue +%"\([^"\\]\|\\.\)*"+
syntax match effnetcConstant "@[A-Za-z0-9_.$/:-]\+"
syntax match effnetcConstant +@"\([^"\\]\|\\.\)*"+
syntax match effnetcType "\<\(v[0-9]\+\.\)\?\(f16\|f32\|f64\|bf16\|[iu]\(8\|16\|32\|64\)\|bool\)\>\*\?"
syntax match effnetcType "\<v[0-9]\+\>"
syntax match effnetcLayout "\<nchw[0-9]\+c\>"
syntax match effnetcNumber "\<[0-9]\+\(x[0-9]\+\)*\>"
syntax match effnetcNumber "\<[0-9]\+\(\.[0-9]\+\)\?\(e[-+]\?[0-9]\+\)\?\>"
syntax match effnetcNumber "\<0x[0-9a-f.]\+\(p[-+]\?[0-9]\+\)\?\>"
syntax match effnetcNumber "\<\(xxh:[0-9a-f]\{16}\|nan\(:[0-9a-f]\+\)\?\|inf\|true\|false\)\>"
syntax match effnetcOp "\(\(^\|[^=]\)= \)\@<=[a-z][a-z0-9_]*"
syntax match effnetcAttribute "\<[a-z_]\+\ze="
syntax keyword effnetcKeyword graph const return module target buffer kernel step run input output
syntax keyword effnetcKeyword weights arena one_image halo
syntax keyword effnetcControl for par while if else in call store prefetch

highlight default link effnetcComment Comment
highlight default link effnetcString String
highlight default link effnetcValue Identifier
highlight default link effnetcConstant Constant
highlight default link effnetcType Type
highlight default link effnetcLayout Type
highlight default link effnetcNumber Number
highlight default link effnetcOp Function
highlight default link effnetcAttribute Label
highlight default link effnetcKeyword Keyword
highlight default link effnetcControl Statement

let b:current_syntax = "effnetc"
