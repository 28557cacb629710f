" Files of effnetc's IRs: a dump's header, a graph or a module.
autocmd BufRead,BufNewFile *.ir if getline(nextnonblank(1)) =~# '^\(# \(effnetc IR\|RUN:\)\|graph @\|module @\)' | setfiletype effnetc | endif
