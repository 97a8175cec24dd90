"""Is the place of each cell right? Drawn models whose layouts are known: `python benchmarks/places.py --n 2000`

Each model is put together of parts that say which raw numbers of which module belong to which place of the input. For the default
layer, the stage before it and some named modules, the grid that fastcam gives is compared with that, number by number; the map is
compared with one computed by hand; and places that are changed in the input are looked for in the cells. A layer is right, near
(within a cell, in a row that a recurrent layer reads), refused (ValueError), or wrong. In chunks: `--start 500 --n 500`."""
import argparse, collections, math, random, sys, time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent)]
import torch, torch.nn as nn, torch.nn.functional as F
from fastcam.engine.layer import find_layers, grid_layers, stages
from fastcam.engine.explain import cam_maps

# ---- what is known of a module
class Where:
    "Where the cells of a module's output are: `kind` of its axes, size of the `grid`, tokens without a place, the `order` of those with one"
    def __init__(self, kind, grid, front=0, back=0, order=None, firm=True):
        self.kind,self.grid,self.front,self.back,self.order,self.firm = kind,tuple(grid),front,back,order,firm
    def __repr__(self):
        also = (' ordered' if self.order is not None else '')+('' if self.firm else ' loose')
        return f"{self.kind} {self.grid}+{self.front},{self.back}{also}"
    def but(self, **kwargs): return Where(**{**vars(self), **kwargs})
    @property
    def n(self): return math.prod(self.grid)
    def cells(self, o):
        "What the module gave, as (batch, channels, *grid)"
        if isinstance(o, (tuple,list)): o = o[0]
        if self.kind=='maps': return o
        if self.kind=='last': return o.movedim(-1, 1)
        if self.kind=='first': o = o.transpose(0, 1)                            # (tokens, batch, channels)
        if self.kind=='flat': o = o.transpose(1, 2)                             # (batch, channels, tokens)
        o = o[:,self.front:self.front+self.n]
        if self.order is not None: o = o[:,self.order.argsort()]               # token `i` is cell `order[i]`
        return o.transpose(1, 2).unflatten(2, self.grid)

nowhere = None                                                                  # of a module whose numbers have no place

class Part(nn.Module):
    "A part of a drawn model; `where` is what is known of its modules, by name, '' for itself and for those below that have no entry"
    def __init__(self): super().__init__(); self.where = {}

class Net(nn.Module):
    def __init__(self, parts, head, turn=None):
        super().__init__()
        self.turn = turn
        self.parts,self.head = nn.ModuleDict({f'{n}_{i}':p for i,(n,p) in enumerate(parts)}),head
    def forward(self, x):
        if self.turn=='last': x = x.movedim(-1, 1)
        if self.turn=='bare': x = x[:,None]
        for p in self.parts.values(): x = p(x)
        return self.head(x)

def truth(net):
    "`Where`, or None, of each module by name"
    res = {}
    for k,p in net.parts.items():
        for n,_ in p.named_modules():
            full = f'parts.{k}.{n}'.rstrip('.')
            up = n
            while up not in p.where and up: up = up.rpartition('.')[0]
            res[full] = p.where.get(up, nowhere)
    res['head.norm'] = net.head.w.but(kind='tokens')                            # whatever the head was given
    return res

# ---- parts
convs,tconvs = (None,nn.Conv1d,nn.Conv2d,nn.Conv3d),(None,nn.ConvTranspose1d,nn.ConvTranspose2d,nn.ConvTranspose3d)
norms = (None,nn.BatchNorm1d,nn.BatchNorm2d,nn.BatchNorm3d)

class ConvPart(Part):
    def __init__(self, nd, ci, co, stride, k, grid, norm=True, act=nn.ReLU):
        super().__init__()
        self.conv = convs[nd](ci, co, k, stride=stride, padding=tuple(o//2 for o in k))
        self.norm,self.act = norms[nd](co) if norm else nn.Identity(),act()
        self.where[''] = Where('maps', [(g+2*(k//2)-k)//s+1 for g,k,s in zip(grid, k, stride)])
    def forward(self, x): return self.act(self.norm(self.conv(x)))

class Grow(Part):
    def __init__(self, nd, ci, co, stride, grid):
        super().__init__()
        self.conv,self.act = tconvs[nd](ci, co, stride, stride=stride),nn.GELU()
        self.where[''] = Where('maps', [g*s for g,s in zip(grid, stride)])
    def forward(self, x): return self.act(self.conv(x))

class Residual(Part):
    def __init__(self, nd, c, grid):
        super().__init__()
        self.a,self.b,self.norm = convs[nd](c, c, 3, padding=1),convs[nd](c, c, 3, padding=1),norms[nd](c)
        self.where[''] = Where('maps', grid)
    def forward(self, x): return F.relu(x+self.norm(self.b(F.relu(self.a(x)))))

class LastBlock(Part):
    "Channels last, as ConvNeXt's blocks and Swin's maps"
    def __init__(self, nd, c, w, come):
        super().__init__()
        self.dw,self.norm,self.come = convs[nd](c, c, 3, padding=1, groups=c),nn.LayerNorm(c),come
        self.up,self.down = nn.Linear(c, 2*c),nn.Linear(2*c, c)
        self.where = {'':w.but(kind='last'), 'dw':w.but(kind='maps')}
    def forward(self, x):
        if self.come=='maps': x = x.movedim(1, -1)
        return x+self.down(F.gelu(self.up(self.norm(self.dw(x.movedim(-1, 1)).movedim(1, -1)))))

class Patches(Part):
    "Patches by reshaping and a linear layer: tokens in rows"
    def __init__(self, size, patch, ci, c, how, come, order=None):
        super().__init__()
        self.patch,self.how,self.come,self.proj,self.order = patch,how,come,nn.Linear(ci*math.prod(patch), c),order
        self.norm = nn.LayerNorm(c)
        self.grid = tuple(s//p for s,p in zip(size, patch))
        self.where[''] = Where('tokens', self.grid, order=order)
    def forward(self, x):
        nd = len(self.patch)
        if self.come=='last': x = x.movedim(-1, 1)
        if self.come=='bare': x = x[:,None]
        if self.how=='unfold': x = F.unfold(x, self.patch, stride=self.patch).transpose(1, 2)
        else:
            x = x.reshape(*x.shape[:2], *[o for g,p in zip(self.grid, self.patch) for o in (g,p)])
            x = x.permute(0, *range(2, 2*nd+2, 2), *range(3, 2*nd+2, 2), 1).flatten(1, nd).flatten(2)
        if self.order is not None: x = x[:,self.order]
        return self.norm(self.proj(x))

class ToTokens(Part):
    "(batch, channels, *grid) to tokens: batch or steps first, flat, in some order, with extra tokens"
    def __init__(self, c, w, come):
        super().__init__()
        self.w,self.come = w,come
        scale = random.choice([0., .02, 1.])
        self.front,self.back = nn.Parameter(torch.randn(1, w.front, c)*scale),nn.Parameter(torch.randn(1, w.back, c)*scale)
        self.pos = nn.Parameter(torch.randn(1, w.n, c)*random.choice([0., .02, .5]))
        self.where[''] = w
    def forward(self, x):
        if self.come=='maps':
            x = x.flatten(2).transpose(1, 2)
            if self.w.order is not None: x = x[:,self.w.order]
        x = torch.cat([self.front.expand(len(x), -1, -1), x+self.pos, self.back.expand(len(x), -1, -1)], 1)
        return x.transpose(0, 1) if self.w.kind=='first' else x.transpose(1, 2) if self.w.kind=='flat' else x

class TokenPart(Part):
    "A block over tokens (batch, tokens, channels); what it gives is as it came, batch first, steps first or flat"
    def __init__(self, w):
        super().__init__()
        self.w = w
        self.where[''] = w.but(kind='tokens')
    def forward(self, x):
        turn = {'first':(0,1), 'flat':(1,2)}.get(self.w.kind)
        x = self.body(x.transpose(*turn) if turn else x)
        return x.transpose(*turn) if turn else x

class Torch(TokenPart):
    "torch's own transformer, which may be steps first"
    def __init__(self, c, w, whole):
        super().__init__(w)
        first = w.kind=='first'
        norm_first,act = random.random()<.5,random.choice(['relu','gelu'])
        l = nn.TransformerEncoderLayer(c, 2, 2*c, batch_first=not first, norm_first=norm_first, activation=act)
        self.enc = nn.TransformerEncoder(l, 2, enable_nested_tensor=False) if whole else l
        self.where[''] = w
        if w.kind=='flat': self.where['enc'] = w.but(kind='tokens')
    def forward(self, x): return self.enc(x.transpose(1, 2)).transpose(1, 2) if self.w.kind=='flat' else self.enc(x)

class Attention(TokenPart):
    def __init__(self, c, w):
        super().__init__(w)
        self.norm1,self.qkv,self.proj = nn.LayerNorm(c),nn.Linear(c, 3*c),nn.Linear(c, c)
        self.norm2,self.mlp = nn.LayerNorm(c),nn.Sequential(nn.Linear(c, 2*c), nn.GELU(), nn.Linear(2*c, c))
    def body(self, x):
        q,k,v = self.qkv(self.norm1(x)).chunk(3, -1)
        x = x+self.proj(F.scaled_dot_product_attention(q, k, v))
        return x+self.mlp(self.norm2(x))

class Mixer(TokenPart):
    def __init__(self, c, w):
        super().__init__(w)
        n = w.n+w.front+w.back
        self.norm1,self.tok1,self.tok2 = nn.LayerNorm(c),nn.Linear(n, 2*n),nn.Linear(2*n, n)
        self.norm2,self.mlp = nn.LayerNorm(c),nn.Sequential(nn.Linear(c, 2*c), nn.GELU(), nn.Linear(2*c, c))
        self.where |= {'tok1':nowhere, 'tok2':w.but(kind='flat', firm=False)}
    def body(self, x):
        x = x+self.tok2(F.gelu(self.tok1(self.norm1(x).transpose(1, 2)))).transpose(1, 2)
        return x+self.mlp(self.norm2(x))

class Gated(TokenPart):
    "gMLP's block"
    def __init__(self, c, w):
        super().__init__(w)
        n = w.n+w.front+w.back
        self.norm,self.up,self.down,self.norm2,self.space = nn.LayerNorm(c),nn.Linear(c, 2*c),nn.Linear(c, c),nn.LayerNorm(c),nn.Conv1d(n, n, 1)
        nn.init.constant_(self.space.bias, 1.)
        self.where['space'] = w.but(kind='tokens', firm=False)
    def body(self, x):
        u,v = F.gelu(self.up(self.norm(x))).chunk(2, -1)
        return x+self.down(u*self.space(self.norm2(v)))

class Causal(TokenPart):
    "Gated causal convolution along the tokens, as in Mamba"
    def __init__(self, c, w):
        super().__init__(w)
        self.norm,self.inp,self.conv,self.out = nn.LayerNorm(c),nn.Linear(c, 2*c),nn.Conv1d(c, c, 4, padding=3, groups=c),nn.Linear(c, c)
        self.where['conv'] = Where('flat', [w.n+3])                            # as far as its windows reach, before the rest is cut off
    def body(self, x):
        u,z = self.inp(self.norm(x)).chunk(2, -1)
        u = self.conv(u.transpose(1, 2))[...,:x.shape[1]].transpose(1, 2)
        return x+self.out(F.silu(u)*F.silu(z))

class Recurrent(TokenPart):
    def __init__(self, c, w):
        super().__init__(w)
        self.bi = random.random()<.5
        cls = random.choice([nn.LSTM, nn.GRU, nn.RNN])
        self.rnn = cls(c, c//2 if self.bi else c, num_layers=random.choice([1,2]), bidirectional=self.bi, batch_first=w.kind!='first')
        self.where[''] = w
        if w.kind=='flat': self.where['rnn'] = w.but(kind='tokens')
    def forward(self, x): return self.rnn(x.transpose(1, 2))[0].transpose(1, 2) if self.w.kind=='flat' else self.rnn(x)[0]

class Conv1dPart(TokenPart):
    def __init__(self, c, w):
        super().__init__(w)
        self.conv,self.norm = nn.Conv1d(c, c, 3, padding=1),nn.BatchNorm1d(c)
        self.where |= {'conv':w.but(kind='flat'), 'norm':w.but(kind='flat')}
    def body(self, x): return F.relu(x+self.norm(self.conv(x.transpose(1, 2))).transpose(1, 2))

class Halve(Part):
    "Tokens without extras, in rows, pooled to half the grid"
    def __init__(self, c, w):
        super().__init__()
        self.w,self.lin,self.norm = w,nn.Linear(c, c),nn.LayerNorm(c)
        nd = len(w.grid)
        self.pool = (None,F.avg_pool1d,F.avg_pool2d,F.avg_pool3d)[nd]
        self.to = Where('tokens', [max(g//2, 1) for g in w.grid])
        self.where[''] = self.to
    def forward(self, x):
        x = self.pool(x.transpose(1, 2).unflatten(2, self.w.grid), tuple(min(2, g) for g in self.w.grid))
        return self.lin(self.norm(x.flatten(2).transpose(1, 2)))

class Head(nn.Module):
    def __init__(self, how, w, c, n):
        super().__init__()
        self.how,self.w = how,w
        total = w.n+w.front+w.back
        self.norm = nn.LayerNorm(c) if random.random()<.5 else nn.Identity()
        self.out = nn.Linear(c*total if how=='flatten' else c, n)
    def forward(self, x):
        k = self.w.kind
        if k=='maps': x = x.flatten(2).transpose(1, 2)
        if k=='last': x = x.flatten(1, -2)
        if k=='first': x = x.transpose(0, 1)
        if k=='flat': x = x.transpose(1, 2)
        x = self.norm(x)
        if self.how=='mean': x = x.mean(1)
        if self.how=='max': x = x.amax(1)
        if self.how=='cells': x = x[:,self.w.front:self.w.front+self.w.n].mean(1)
        if self.how=='class': x = x[:,0]
        if self.how=='last': x = x[:,-1]
        if self.how=='flatten': x = x.flatten(1)
        return self.out(x)

# ---- drawing
def window_order(grid, how, unit):
    "Number of the cell, row by row, that each token is"
    cells = torch.arange(math.prod(grid)).reshape(grid)
    if how=='columns': return cells.permute(*reversed(range(len(grid)))).flatten()
    nd = len(grid)
    t = cells.reshape(*[o for g,u in zip(grid, unit) for o in (g//u,u)])
    blocks,inner = list(range(0, 2*nd, 2)),list(range(1, 2*nd, 2))
    return t.permute(*(blocks+inner if how=='blocks' else inner+blocks)).flatten()

class Drawn:
    """The drawn model number `seed`: `net`, its input `x` of two items, the `size` of the places of the input and the `axes` they
    lie along, the `kinds` of its parts"""
    def __init__(self, seed):
        self.seed = seed
        random.seed(seed); torch.manual_seed(seed)
        r = random
        self.kinds = []
        nd = self.nd = r.choices([1,2,3], [4,5,1.5])[0]
        self.kinds.append(f'{nd}-D')
        ci = r.choice([1,2,3,5,9] if nd==1 else [1,3])
        stem = self.stem = r.choices(['convs','patch conv','patches'] + ['linear']*(nd==1), [3,3,3]+[3]*(nd==1))[0]
        self.come = r.choice(['maps','maps','maps','last'] if nd>1 else ['maps','last'])
        if nd==2 and r.random()<.12: self.come,ci = 'bare',1
        patch = tuple(r.choice([2,4,8] if nd==2 else [2,4]) for _ in range(1))*nd
        if r.random()<.25: patch = tuple(r.choice([2,4]) for _ in range(nd))
        if nd==1: patch = (r.choice([1,2,4,5]),)
        cells = {1:lambda: (r.choice([12,16,20,24,25,31,32,48,64,100]),),
                 2:lambda: r.choice([(n:=r.choice([3,4,5,6,7,8]),n), (n,n+r.choice([1,2,3,4])), (n+r.choice([1,2,4]),n), (4,12)]),
                 3:lambda: (r.choice([2,4,6]),(n:=r.choice([3,4,5])),n+r.choice([0,0,1,2]))}[nd]()
        self.size = tuple(g*p for g,p in zip(cells, patch))
        if stem in ('convs','linear') and nd==1: self.size = (r.choice([24,32,50,64,96,100,128]),)
        if stem=='convs' and nd==2:
            any_size = r.random()<.6
            self.size = tuple(r.choice([16,20,24,32,33,40,48]) for _ in range(2)) if any_size else (r.choice([16,24,32]),)*2
        parts = []
        c = r.choice([8,12,16,24,32])
        if stem!='convs' and r.random()<.25: c = max(math.prod(cells)//2*2, 4) if stem!='linear' else self.size[0]//2*2
        c = min(c, 128)
        turn = None
        if stem in ('convs','patch conv') and self.come!='maps':
            turn = self.come
        if stem=='convs': w,c = self._convs(parts, ci)
        elif stem=='patch conv':
            p = ConvPart(nd, ci, c, patch, patch, self.size, norm=r.random()<.3, act=r.choice([nn.Identity, nn.GELU]))
            p.conv.padding = (0,)*nd
            w = p.where[''] = Where('maps', cells)
            parts.append(('patch', p))
        elif stem=='linear':
            p = Patches(self.size, (1,), ci, c, 'reshape', self.come)
            w = p.where['']
            parts.append(('embed', p))
        else:
            order = self._order(cells) if r.random()<.25 else None
            how = 'unfold' if nd==2 and r.random()<.5 else 'reshape'
            p = Patches(self.size, patch, ci, c, how, self.come, order)
            w = p.where['']
            self.kinds.append(how)
            parts.append(('patches', p))
        self.kinds.insert(1, stem)
        if self.come!='maps': self.kinds.append({'last':'channels last input', 'bare':'no channels'}[self.come])
        bodies = ['maps','last','tokens','tokens'] if stem=='convs' else ['tokens','tokens','tokens','maps','last']
        body = r.choice(bodies) if w.kind=='maps' else 'tokens'
        if body=='tokens': w,c = self._tokens(parts, w, c)
        elif body=='last':
            self.kinds.append('channels last')
            for _ in range(r.choice([1,2])): parts.append(('last', LastBlock(nd, c, w, w.kind))); w = w.but(kind='last')
        else:
            self.kinds.append('residual')
            for _ in range(r.choice([0,1,2])): parts.append(('res', Residual(nd, c, w.grid)))
        how = ['mean','mean','max','flatten','cells'] + ['class','class']*(w.front>0)
        if w.front+w.back==0 and nd==1 and 'recurrent' in self.kinds: how += ['last','last']
        self.head = r.choice(how)
        self.kinds.append('head '+self.head)
        self.net,self.w = Net(parts, Head(self.head, w, c, r.choice([2,4,10])), turn),w
        shape = {'maps':(ci,*self.size), 'last':(*self.size,ci), 'bare':self.size}[self.come]
        self.x = torch.randn(2, *shape)
        self.axes = {'maps':range(1, nd+1), 'last':range(nd), 'bare':range(nd)}[self.come]
        for m in self.net.modules():
            if isinstance(m, nn.modules.batchnorm._BatchNorm): m.running_mean.uniform_(-.3, .3); m.running_var.uniform_(.3, 1.5)
        self.net.eval()

    def _convs(self, parts, ci):
        r,nd,g = random,self.nd,self.size
        c = r.choice([4,8])
        for i in range(r.choice([1,2,3])):
            stride = tuple(r.choice([1,2]) for _ in range(nd)) if r.random()<.4 else (r.choice([1,2,2]),)*nd
            if i==0 and math.prod(stride)==1 and math.prod(g)>300: stride = (2,)*nd
            if any(o//s<3 and s>1 for o,s in zip(g, stride)): stride = (1,)*nd
            k = r.choice([(3,)*nd, (3,)*nd, tuple(r.choice([1,3,5]) for _ in range(nd))])
            p = ConvPart(nd, ci, c, stride, k, g, norm=r.random()<.6)
            parts.append(('conv', p))
            g,ci = p.where[''].grid,c
            c = min(c*r.choice([1,2]), 32)
        if r.random()<.15 and math.prod(g)<150 and all(2*o<=s for o,s in zip(g, self.size)):
            p = Grow(nd, ci, ci, (2,)*nd, g)
            parts.append(('grow', p))
            self.kinds.append('transposed')
            g = p.where[''].grid
        return Where('maps', g),ci

    def _order(self, grid):
        r = random
        how = r.choice(['blocks','offsets','columns']) if len(grid)>1 else 'blocks'
        if len(grid)<2: return None
        unit = tuple(r.choice([u for u in (2,3,4) if g%u==0 and g>u] or [1]) for g in grid)
        if len(set(unit)-{1})>1:
            least = min(u for u in unit if u>1)
            unit = tuple(least if g%least==0 else 1 for g in grid)
        if how!='columns' and (math.prod(unit)==1 or max(unit)>2*min(unit)): return None
        self.kinds.append(f'{how} first')
        return window_order(grid, how, unit)

    def _tokens(self, parts, w, c):
        r,nd = random,self.nd
        few = [(0,0),(0,0),(1,0),(1,0),(0,1),(r.randint(0,8),0),(0,r.randint(1,8)),(r.randint(1,5),r.randint(1,5))]
        front,back = r.choice([*few, (1,100) if nd>1 else (1,0)])
        order = self._order(w.grid) if w.kind=='maps' and r.random()<.2 else w.order
        if order is not None and w.kind=='maps' and nd==1: order = None
        names = ['attention','attention','transformer','mixer','gated']
        if nd==1: names += (['causal','recurrent','conv1d'] if front+back==0 else []) + ['recurrent']
        which = r.choices(names, k=r.choice([1,1,2]))
        if r.random()<.5: which = which[:1]*len(which)
        kind = r.choice(['tokens','tokens','tokens','first','flat']) if w.n<=128 else 'tokens'
        if 'transformer' in which or 'recurrent' in which: c2 = c//2*2
        else: c2 = c
        if c2!=c: which = ['attention']
        come = w.kind
        w = Where(kind, w.grid, front, back, order)
        parts.append(('tokens', ToTokens(c, w, come)))
        make = dict(attention=Attention, transformer=lambda c,w: Torch(c, w, r.random()<.5), mixer=Mixer, gated=Gated, causal=Causal,
                    recurrent=Recurrent, conv1d=Conv1dPart)
        for i,k in enumerate(which):
            if i and kind=='tokens' and front+back==0 and order is None and r.random()<.25 and math.prod(max(g//2, 1) for g in w.grid)>4:
                p = Halve(c, w)
                parts.append(('halve', p))
                w = p.to
                self.kinds.append('halved')
            p = make[k](c, w)
            if isinstance(p, TokenPart) and type(p).forward is TokenPart.forward: p.where['own'] = w          # the part itself gives what it got
            parts.append((k, p))
        end = 'both ends' if front and back else 'front' if front else 'back'
        if front+back: self.kinds.append(f"{'100' if back==100 else 'few'} extra, {end}")
        if c==w.n or c==w.n+front+back: self.kinds.append('channels=cells')
        if kind!='tokens': self.kinds.append({'first':'steps first', 'flat':'flat'}[kind])
        self.kinds += list(dict.fromkeys(which))
        return w,c

    def truth(self):
        res = truth(self.net)
        for k,p in self.net.parts.items():
            if 'own' in p.where: res[f'parts.{k}'] = p.where['own']
        return res

# ---- asking
verdicts = 'right','near','wrong','refused'

def caught(d, name, x=None):
    "What module `name` gives, and the gradient of the first output there"
    got = []
    h = d.net.get_submodule(name).register_forward_hook(lambda m, i, o: got.append(o[0] if isinstance(o, (tuple,list)) else o))
    try: pred = d.net(d.x.clone().requires_grad_() if x is None else x)
    finally: h.remove()
    return got[0],pred

def region(d, w, cell):
    "The slices of the input that cell `cell` of the grid of `w` covers"
    res = [slice(None)]*d.x.ndim
    for a,c,g,s in zip(d.axes, cell, w.grid, d.size): res[a+1] = slice(int(c*s/g), max(math.ceil((c+1)*s/g), int(c*s/g)+1))
    return tuple(res)

@torch.no_grad()
def planted(d, lay, w, n=5):
    """Share of `n` changed places that are found in the cell where they are, or a neighbor. What all changes do alike is taken away, since
    attention and mixing layers tell everybody; a neighbor counts, since a recurrent layer answers a step later and a convolution's grid
    stands up to half a cell off"""
    rng = random.Random(d.seed)
    cells = [tuple(rng.randrange(g) for g in w.grid) for _ in range(n)]
    was = lay.to_grid(caught(d, lay.name)[0])
    seen = []
    for c in cells:
        x = d.x.clone()
        at = region(d, w, c)
        x[at] = torch.randn(x[at].shape, generator=torch.Generator().manual_seed(d.seed))*3
        seen.append((lay.to_grid(caught(d, lay.name, x)[0])-was).square().sum((0,1)))
    seen = torch.stack(seen)
    if tuple(seen.shape[1:])!=w.grid: return 0.
    seen = seen/seen.flatten(1).sum(1).clamp(min=1e-20).reshape(-1, *[1]*d.nd)
    ok = 0
    for i,c in enumerate(cells):
        e = seen[i]-torch.cat([seen[:i],seen[i+1:]]).mean(0)
        top = torch.unravel_index(e.argmax(), w.grid)
        ok += all(abs(t.item()-o)<=1 for t,o in zip(top, c))
    return ok/n

def ask(d, layer, known):
    "`(verdict, what was seen)` of one layer: right, refused, or wrong"
    try: lay = next(iter(find_layers(d.net, d.x, layer).values()))
    except Exception as e:
        if not isinstance(e, (ValueError,IndexError)): return 'wrong',f'{layer}: {type(e).__name__} {e}'
        if isinstance(layer, str) and (known.get(layer) is None or not known[layer].firm): return 'right',f'{layer} has no place, and is refused'
        return 'refused',f'{layer}: {e}'
    w,what = known.get(lay.name),f'{layer} is {lay.name} ({type(lay.module).__name__}), {lay.layout} ({lay.place}),'
    o,pred = caught(d, lay.name)
    what += f' gives {tuple(o.shape)}'
    if w is None: return 'wrong',what+', and has no places'
    cells = w.cells
    if not _fits(w, o): return 'wrong',what+', which has no places'
    mine = cells(o)
    try: theirs = lay.to_grid(o)
    except RuntimeError as e: return 'wrong',f'{what}: RuntimeError {e}'
    if tuple(lay.grid)!=w.grid: return near(d, lay, w, o),what+f', right is {w}'
    if theirs.shape!=mine.shape or not torch.equal(theirs, mine): return 'wrong',what+f', right is {w}'
    g, = torch.autograd.grad(pred[:,0].sum(), o, allow_unused=True)
    m = cam_maps(d.net, d.x, target=0, layer=layer, method='hirescam')[:,0].as_subclass(torch.Tensor)
    each = torch.zeros_like(mine) if g is None else (cells(g)*mine).detach()
    if m.shape!=each[:,0].shape or not torch.allclose(m, each.sum(1), rtol=1e-3, atol=1e-4*each.abs().sum(1).max().item()+1e-12):
        return 'wrong',what+', but the map differs from that made by hand'
    if w.firm and lay.place=='proven' and layer is None: d.planted = planted(d, lay, w)
    return 'right',what

def _fits(w, o):
    "Can the output `o` be laid out as `w` says? Not that of a convolution over tokens that is cut afterwards"
    if w.kind in ('maps','last'): return o.ndim==len(w.grid)+2 and tuple(w.cells(o).shape[2:])==w.grid
    return o.ndim==3 and o.shape[{'tokens':1, 'first':0, 'flat':2}[w.kind]]==w.n+w.front+w.back

def near(d, lay, w, o):
    """'near' if the numbers of each place are shown within a cell of it, and of the tokens that have no place only such as a recurrent layer
    carries on: where a row holds one token more at an end, its numbers cannot be told from a place's by what they depend on; else 'wrong'"""
    if len(w.grid)!=1 or len(lay.grid)!=1 or 'recurrent' not in d.kinds: return 'wrong'
    number = torch.arange(o.numel()).reshape(o.shape)
    mine,theirs = w.cells(number)[0,0].tolist(),lay.to_grid(number)[0,0].tolist()
    if not set(theirs)>=set(mine) or len(theirs)>w.n+w.front+w.back: return 'wrong'
    off = max(abs((theirs.index(m)+.5)/len(theirs)-(i+.5)/len(mine)) for i,m in enumerate(mine))
    return 'near' if off*w.n<=1.01 else 'wrong'

def _called(d):
    "Names of the modules that are called and give a tensor"
    res,hooks = [],[]
    for n,m in d.net.named_modules():
        if n and not isinstance(m, (nn.Identity,nn.Dropout)): hooks.append(m.register_forward_hook(lambda m, i, o, n=n: res.append(n)))
    with torch.no_grad(): d.net(d.x)
    for h in hooks: h.remove()
    return res

def ask_all(d, named=2):
    "Verdicts on the default layer, the stage before, and `named` modules"
    known,res = d.truth(),{}
    d.planted = None
    called = sorted({s for s in _called(d) if s in known})
    # linear layers over the tokens of a picture are no layers of their own
    if d.nd>1: called = [n for n in called if known[n] is None or not isinstance(d.net.get_submodule(n), nn.Linear)]
    rng = random.Random(d.seed)
    res[None] = ask(d, None, known)
    try: many = len(stages(grid_layers(d.net, d.x)))>1
    except Exception as e:
        many = False
        if not isinstance(e, ValueError): res['all'] = 'wrong',f'grid_layers: {type(e).__name__} {e}'
    if many: res[-2] = ask(d, -2, known)
    for n in rng.sample(called, min(named, len(called))):
        try: res[n] = ask(d, n, known)
        except IndexError: pass
    return res

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--n', type=int, default=2000, help='how many models')
    p.add_argument('--start', type=int, default=0, help='number of the first')
    p.add_argument('--named', type=int, default=2, help='modules of each that are asked by name')
    p.add_argument('--verbose', action='store_true', help='print each that is wrong or refused at once')
    a = p.parse_args()
    torch.set_num_threads(1)
    count,by_kind,start = collections.Counter(),collections.defaultdict(collections.Counter),time.perf_counter()
    places = []
    for seed in range(a.start, a.start+a.n):
        d = Drawn(seed)
        for layer,(verdict,what) in ask_all(d, a.named).items():
            which = 'default' if layer is None else 'stage -2' if layer==-2 else 'named'
            count[which,verdict] += 1
            for k in d.kinds: by_kind[k][verdict] += 1
            if a.verbose and verdict!='right':
                print(f'{seed} {verdict}: {", ".join(d.kinds)}: x {tuple(d.x.shape)}, {what}'[:600], flush=True)
        if d.planted is not None: places.append(d.planted)
    found = sum(places)/max(len(places), 1)
    print(f'{a.n} models from {a.start}, {time.perf_counter()-start:.0f} s; planted places found: {found:.3f} of {len(places)} models')
    by_layer = {w:{v:count[w,v] for v in verdicts} for w in ('default','stage -2','named')}
    for title,table in (('layer', by_layer), ('kind', dict(sorted(by_kind.items())))):
        print(f"\n{title:24}{''.join(f'{v:>8}' for v in verdicts)}")
        for k,c in table.items(): print(f"{k:24}{''.join(f'{c[v]:8}' for v in verdicts)}")

if __name__=='__main__': main()
