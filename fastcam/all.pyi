"""What editors see of `fastcam.all`. Written by tools/stubs.py from the package: run that

After `from fastcam.all import *`, fastai's own classes have more methods. Here they are subclasses that have them, and what makes learners gives these."""
from typing import Any, overload
from pandas import DataFrame
from fastcam.learner.cams import CAMItem as _CAMItem
from fastcam.evidence.summary import CAMSummary as _CAMSummary
from fastcam.learner.cams import CAMs as _CAMs
from fastcam.learner.concept import Concepts as _Concepts
from fastcam.apps.explore import Explorer as _Explorer
from fastcam.learner.features import Features as _Features
from fastai.interpret import Interpretation as _Interpretation
from fastcam.evidence.sanity import SanityCheck as _SanityCheck
from fastai.interpret import ClassificationInterpretation as _ClassificationInterpretation
from fastai.learner import Learner as _Learner
from fastcam.learner.text import TextCAMs as _TextCAMs
from fastcam.learner.film import CAMFilm as _CAMFilm
from fastcam.core import TensorCAM as _TensorCAM
from fastcam.engine.target import Above as Above
from fastcam.engine.target import Actual as Actual
from fastcam.evidence.best import BestCAM as BestCAM
from fastcam.learner.callback import CAMCallback as CAMCallback
from fastcam.engine.target import Classes as Classes
from fastcam.engine.objects import Detections as Detections
from fastcam.engine.features import FeatureColors as FeatureColors
from fastcam.engine.target import Fn as Fn
from fastcam.engine.target import Head as Head
from fastcam.engine.grid import Layout as Layout
from fastcam.engine.target import Neg as Neg
from fastcam.engine.target import Outputs as Outputs
from fastcam.engine.target import PerItem as PerItem
from fastcam.engine.target import Prob as Prob
from fastcam.engine.prompt import Prompt as Prompt
from fastcam.engine.target import ReST as ReST
from fastcam.engine.target import Region as Region
from fastcam.engine.target import Several as Several
from fastcam.engine.target import Similar as Similar
from fastcam.engine.target import Target as Target
from fastcam.engine.target import TopK as TopK
from fastcam.engine.target import Versus as Versus
from fastcam.learner.items import as_item as as_item
from fastcam.engine.method import cam_methods as cam_methods
from fastcam.engine.layer import default_layer as default_layer
from fastcam.apps.demo import demo_photos as demo_photos
from fastcam.engine.layer import find_layers as find_layers
from fastcam.engine.layer import grid_layers as grid_layers
from fastcam.engine.explain import input_shares as input_shares
from fastcam.engine.explain import layers_table as layers_table
from fastcam.evidence.metric import metrics_table as metrics_table
from fastcam.engine.grid import register_layout as register_layout
from fastcam.engine.method import register_method as register_method
from fastcam.evidence.metric import register_metric as register_metric
from fastcam.engine.method import register_smooth as register_smooth
from fastcam.engine.method import weight_method as weight_method
class CAMItem(_CAMItem):
    def mask(self, *, thresh: Any = 0.2, original: Any = False, components: Any = 'all'): r"""Where each map of the item is hot, 0 or 1
        
        - thresh: What is hot, see `TensorCAM.mask`: a share of the map's largest value, 'otsu', or a percentile such as 'p90'
        - original: In pixels of the original, rather than of the picture shown
        - components: 'all', or only the 'largest' connected piece"""
    def bbox(self, *, thresh: Any = 0.2, original: Any = False, components: Any = 'largest'): r"""Box (x1,y1,x2,y2) for each map of the item; zeros where nothing is hot
        
        - thresh: What is hot, see `TensorCAM.mask`: a share of the map's largest value, 'otsu', or a percentile such as 'p90'
        - original: In pixels of the original, rather than of the picture shown
        - components: Around the 'largest' connected hot piece, or around 'all'"""
    def show(self, *, max_n: Any = 9, ctxs: Any = None, nrows: Any = None, ncols: Any = None, figsize: Any = None, scale: Any = 'image', relu: Any = None, clip: Any = None, cmap: Any = None, alpha: Any = 'heat', interpolation: Any = 'bilinear', inp: Any = None, original: Any = False, fs: Any = None, slices: Any = None, contour: Any = None, colorbar: Any = False, bands: Any = None): r"""Draw the maps over the item, one column for each target; gives the axes
        
        - max_n: Show at most so many items, the first; all if None
        - ctxs: Axes to draw on, one for each item and target, in a list or an array; a single one for a single map
        - nrows: Rows of the grid
        - ncols: Columns of the grid; several targets give a column each
        - figsize: Size of the figure in inches
        - scale: 'image' scales each map by its own maximum, 'shared' all that are shown by the largest of all, so that they compare; a number is what is brightest
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.show`
        - cmap: Colors of the maps: 'magma', or 'RdBu_r' for both signs
        - alpha: How much the maps cover the pictures: 'heat', the more the larger they are, so that the rest stays as it is; or a number of 0..1, evenly
        - interpolation: matplotlib's, between the cells of a map
        - inp: Which input to draw, if the model has several; if None the one that the layer reads
        - original: Draw on the items as fastai opens them, with what the model did not see dimmed; if False on what the model saw
        - fs: Steps of a signal, or frames of a clip, in a second, so that it is drawn in seconds; as an attribute of the item says it (`fs`, `sr`, `sample_rate`, `sampling_rate`, `fps`) if None
        - slices: Numbers of the slices of a volume, or of the frames of a clip, that are drawn, or how many at even depths; if None up to 12 slices or 6 frames
        - contour: Draw a line around what reaches this share of the largest value, 0..1; True is .5; or several shares
        - colorbar: Show what the colors mean?
        - bands: Numbers of the bands of a picture that are drawn as red, green and blue, such as (3,2,1), or of one, drawn in gray; if None the first three where there are more. Of more than three each is stretched to what can be seen"""
    def overlay(self, column: Any = 0, size: Any = None, cmap: Any = None, alpha: Any = 'heat', scale: Any = 'image', relu: Any = None, clip: Any = None, inp: Any = None, original: Any = False, slices: Any = None, bands: Any = None): r"""The map over the item as a PIL image, without a title
        
        - column: Which target, if several were asked for
        - size: (height, width) of the image, or how many pixels its longer side has; that of the picture if None
        - cmap: Colors of the map: 'magma', or 'RdBu_r' for both signs
        - alpha: See `CAMs.show`
        - scale: 'image', by the map's own maximum; or a number, what is brightest
        - relu: See `CAMs.show`
        - clip: See `TensorCAM.show`
        - inp: See `CAMs.show`
        - original: On the picture as fastai opens it, with what the model did not see dimmed; if False on what the model saw
        - slices: See `CAMs.show`
        - bands: See `CAMs.show`"""
    def __getattr__(self, name: str) -> Any: ...
class CAMSummary(_CAMSummary):
    def outliers(self, n: Any = 9, cls: Any = None) -> CAMs: r"""The items whose maps are farthest from the mean of the others of their class, the farthest first; in classes of three maps at least. Distance is the share that would have to move: 0 the same, 1 nothing in common
        
        - n: How many
        - cls: Of this class only"""
    def panels(self, max_n: Any = 9): r"""The mean map of each class, those with most items first
        
        - max_n: At most so many classes"""
    def show(self, max_n: Any = 9, nrows: Any = None, ncols: Any = None, figsize: Any = None): r"""The mean map of each class, with the number of maps and the share at the border; gives the axes
        
        - max_n: Show at most so many classes, those with most items first
        - nrows: Rows of the grid
        - ncols: Columns of the grid
        - figsize: Size of the figure in inches"""
    def __getattr__(self, name: str) -> Any: ...
class CAMs(_CAMs):
    def to_html(self, path, title: Any = 'Class activation maps'): r"""Write a page to look at these maps in: pictures and raw maps are in it, so that it needs no server, and no network
        
        - path: File to write
        - title: Stands above"""
    def localize(self, truth: Any = None, original: Any = True, thresh: Any = 0.2, tol: Any = 0.03) -> DataFrame: r"""Hold each map against what is true: where do methods miss?
        
        - truth: What is true of each item, see `object_mask`: a function of the item, as it stands in the dataset, that gives it; a list; if None the items' own targets, or the boxes of the objects that are explained
        - original: Is the truth measured on the original picture? False: on the picture shown; the items' own targets always are
        - thresh: What is hot, see `TensorCAM.mask`
        - tol: See `pointing_game`"""
    def mask(self, thresh: Any = 0.2, original: Any = False, components: Any = 'all'): r"""Where each map is hot, 0 or 1; 0 where the model did not see the original
        
        - thresh: What is hot, see `TensorCAM.mask`: a share of the map's largest value, 'otsu', or a percentile such as 'p90'
        - original: In pixels of the original, rather than of the picture shown
        - components: 'all', or only the 'largest' connected piece"""
    def bbox(self, thresh: Any = 0.2, original: Any = False, components: Any = 'largest'): r"""Box (x1,y1,x2,y2) for each map; zeros where nothing is hot
        
        - thresh: What is hot, see `TensorCAM.mask`: a share of the map's largest value, 'otsu', or a percentile such as 'p90'
        - original: In pixels of the original, rather than of the picture shown
        - components: Around the 'largest' connected hot piece, or around 'all'"""
    def to_df(self, thresh: Any = 0.2, original: Any = True, components: Any = 'largest') -> DataFrame: r"""File, class, probability and box (x1,y1,x2,y2), its score, the share of what speaks for the class that lies in it, true class and health; NaN where there is no box. Of an object its own box as well; of signals, volumes and texts, which have their words in place of a file, no box
        
        - thresh: What is hot, see `TensorCAM.mask`
        - original: Boxes in pixels of the original file, rather than of the picture shown
        - components: See `TensorCAM.bbox`"""
    def where(self, label: Any = None, actual: Any = None, predicted: Any = None, error: Any = None, prob: Any = None, health: Any = None): r"""The items for which all of this holds, as `CAMs`
        
        - label: A class explained, or several
        - actual: A true class, or several
        - predicted: A class that is the most probable, or several
        - error: True: the true class is not the most probable; False: it is
        - prob: (lowest, highest) probability of the first class explained
        - health: True: all maps are well; False: some mean little; or how their health begins, such as 'negative'"""
    def items_of(self): r"""What each item was made of, as it stands in the dataset; None where only batches are known"""
    @property
    def files(self): r"""`L` of the files that the input is read from which the maps lie on; None for what has none"""
    @property
    def inputs(self): r"""What the model was given, (n, channels, *size), kept if they are few, else read again from the dataset; a tuple if the model has several inputs, an `L` where pictures differ in size"""
    def pictures(self, inp: Any = None, fs: Any = None, bands: Any = None): r"""The items as the model saw them, decoded: each shows itself
        
        - inp: Which input, if the model has several; if None the one that the layer reads
        - fs: Steps of a signal, or frames of a clip, in a second; as the item knows it if None, see `sampling_rate`
        - bands: Which bands of a picture, see `CAMs.show`"""
    def originals(self, inp: Any = None): r"""The items as fastai opens them, before they are cropped, padded or resized for the model: each shows itself
        
        - inp: Which input, if the model has several; if None the one that the layer reads"""
    @property
    def views(self): r"""How what the model saw of each item lies on its original, an `L` of `CAMView`; batches given as tensors are their own originals"""
    @property
    def n_columns(self): r"""How many maps are drawn of an item: as many as that with the most targets has"""
    @property
    def by_channel(self): r"""Has each channel of the input a map of its own, `(k, channels, *size)`?"""
    def panels(self, relu: Any = True, inp: Any = None, original: Any = False, fs: Any = None, slices: Any = None, bands: Any = None): r"""What is drawn, item by item, a panel for each target; None where an item has fewer targets than others
        
        - relu: Is only shown what speaks for the target? The titles say so if not
        - inp: Which input to draw, if the model has several; if None the one that the layer reads
        - original: Draw on the items as fastai opens them
        - fs: Steps of a signal in a second, see `CAMs.show`
        - slices: Which slices of a volume, see `CAMs.show`
        - bands: Which bands of a picture, see `CAMs.show`"""
    def show(self, max_n: Any = 9, ctxs: Any = None, nrows: Any = None, ncols: Any = None, figsize: Any = None, scale: Any = 'image', relu: Any = None, clip: Any = None, cmap: Any = None, alpha: Any = 'heat', interpolation: Any = 'bilinear', inp: Any = None, original: Any = False, fs: Any = None, slices: Any = None, contour: Any = None, colorbar: Any = False, bands: Any = None): r"""Draw the maps over the items, each with a title, red where the prediction is wrong; gives the axes
        
        - max_n: Show at most so many items, the first; all if None
        - ctxs: Axes to draw on, one for each item and target, in a list or an array; a single one for a single map
        - nrows: Rows of the grid
        - ncols: Columns of the grid; several targets give a column each
        - figsize: Size of the figure in inches
        - scale: 'image' scales each map by its own maximum, 'shared' all that are shown by the largest of all, so that they compare; a number is what is brightest
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.show`
        - cmap: Colors of the maps: 'magma', or 'RdBu_r' for both signs
        - alpha: How much the maps cover the pictures: 'heat', the more the larger they are, so that the rest stays as it is; or a number of 0..1, evenly
        - interpolation: matplotlib's, between the cells of a map
        - inp: Which input to draw, if the model has several; if None the one that the layer reads
        - original: Draw on the items as fastai opens them, with what the model did not see dimmed; if False on what the model saw
        - fs: Steps of a signal, or frames of a clip, in a second, so that it is drawn in seconds; as an attribute of the item says it (`fs`, `sr`, `sample_rate`, `sampling_rate`, `fps`) if None
        - slices: Numbers of the slices of a volume, or of the frames of a clip, that are drawn, or how many at even depths; if None up to 12 slices or 6 frames
        - contour: Draw a line around what reaches this share of the largest value, 0..1; True is .5; or several shares
        - colorbar: Show what the colors mean?
        - bands: Numbers of the bands of a picture that are drawn as red, green and blue, such as (3,2,1), or of one, drawn in gray; if None the first three where there are more. Of more than three each is stretched to what can be seen"""
    def animate(self, fps: Any = 6, slices: Any = None, max_n: Any = 4, ncols: Any = None, figsize: Any = None, dpi: Any = 80, kind: Any = 'gif', *, scale: Any = 'image', relu: Any = None, clip: Any = None, cmap: Any = None, alpha: Any = 'heat', interpolation: Any = 'bilinear', inp: Any = None, original: Any = False, fs: Any = None, contour: Any = None, colorbar: Any = False, bands: Any = None): r"""Clips frame by frame, and volumes slice by slice, under their maps, as an animation that a notebook shows; its `data` are the bytes
        
        - fps: Frames in a second
        - slices: Which frames of a clip, or slices of a volume: numbers, or how many at even depths; all if None
        - max_n: Show at most so many items
        - ncols: Columns of the grid
        - figsize: Size of the figure in inches
        - dpi: Dots to an inch
        - kind: 'gif' or 'webp'
        - scale: 'image' scales each map by its own maximum, 'shared' all that are shown by the largest of all, so that they compare; a number is what is brightest
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.show`
        - cmap: Colors of the maps: 'magma', or 'RdBu_r' for both signs
        - alpha: How much the maps cover the pictures: 'heat', the more the larger they are, so that the rest stays as it is; or a number of 0..1, evenly
        - interpolation: matplotlib's, between the cells of a map
        - inp: Which input to draw, if the model has several; if None the one that the layer reads
        - original: Draw on the items as fastai opens them, with what the model did not see dimmed; if False on what the model saw
        - fs: Steps of a signal, or frames of a clip, in a second, so that it is drawn in seconds; as an attribute of the item says it (`fs`, `sr`, `sample_rate`, `sampling_rate`, `fps`) if None
        - contour: Draw a line around what reaches this share of the largest value, 0..1; True is .5; or several shares
        - colorbar: Show what the colors mean?
        - bands: Numbers of the bands of a picture that are drawn as red, green and blue, such as (3,2,1), or of one, drawn in gray; if None the first three where there are more. Of more than three each is stretched to what can be seen"""
    def save(self, path, suffix: Any = '.jpg', *, size: Any = None, cmap: Any = None, alpha: Any = 'heat', scale: Any = 'image', relu: Any = None, clip: Any = None, inp: Any = None, original: Any = False, slices: Any = None, bands: Any = None): r"""Write an image for each item and target into a folder, named by its number, its file and what is explained
        
        - path: Folder, made if it is not there
        - suffix: Kind of the files, as PIL knows it
        - size: (height, width) of the image, or how many pixels its longer side has; that of the picture if None
        - cmap: Colors of the map: 'magma', or 'RdBu_r' for both signs
        - alpha: See `CAMs.show`
        - scale: 'image', by the map's own maximum; or a number, what is brightest
        - relu: See `CAMs.show`
        - clip: See `TensorCAM.show`
        - inp: See `CAMs.show`
        - original: On the picture as fastai opens it, with what the model did not see dimmed; if False on what the model saw
        - slices: See `CAMs.show`
        - bands: See `CAMs.show`"""
    @overload
    def __getitem__(self, i: int) -> CAMItem: ...
    @overload
    def __getitem__(self, i: Any) -> CAMs: ...
    @property
    def maps(self) -> TensorCAM: ...
    def __getattr__(self, name: str) -> Any: ...
class Concepts(_Concepts):
    def panels(self, max_n: Any = 9): r"""Each item with its concepts, each of them scaled by its largest value over all items
        
        - max_n: At most so many items"""
    def show(self, max_n: Any = 9, ncols: Any = None, figsize: Any = None, alpha: Any = 0.7, cmap: Any = 'tab10'): r"""Color each place by the concept there is most of, the stronger the less transparent, with a legend: its number, what the head calls it and with what probability; gives the axes
        
        - max_n: Show at most so many items
        - ncols: Columns of the grid
        - figsize: Size of the figure in inches
        - alpha: How much the colors cover the pictures, 0..1
        - cmap: A color for each concept"""
    def __getattr__(self, name: str) -> Any: ...
class Explorer(_Explorer):
    def row(self, i): r"""A batch of item `i` alone: what the model is given, and what is true, if known
        
        - i: Number of an item, or of a photo that was added"""
    def name(self, i): r"""What item `i` is called: its file's name, without the folder"""
    def add(self, data, name: Any = 'photo') -> int: r"""Add a photo from outside. Of those only the last 64 are kept
        
        - data: A picture file, opened as the DataLoaders open theirs
        - name: What it is called"""
    def original(self, i): r"""The picture of item `i` in its own proportions, and where what the model saw lies on it, as the page takes it; None where that is not known, or the same
        
        - i: Number of an item, or of a photo that was added"""
    def film(self, start: Any = 0): r"""What is said of the items from `start` to the end of its page, with small pictures and maps: one pass for all
        
        - start: Number of the first item; a photo that was added is alone"""
    def cams(self, i, target: Any = None, layer: Any = None, method: Any = None, edits: Any = ..., stop: Any = None) -> CAMs: r"""Maps of item `i`, with parts of it hidden: one pass of the model, as `learn.cam` makes it
        
        - i: Number of an item, or of a photo that was added
        - target: As for `Learner.cam`, as the next two; what was chosen at first if None
        - edits: What is hidden, see `edited`
        - stop: Function of nothing: is a method that asks the model often to be left?"""
    def asked(self, q): r"""What a page asks for, looked up among what there is
        
        - q: With any of `class`, `versus` (numbers of classes), `layer`, `method`, and `prompts`, further words for a target that is a `Prompt`"""
    def answer(self, q, stop: Any = None): r"""What the page draws: maps, classes with their probabilities, the picture, and the line of code for it
        
        - q: With `item`, and what `asked` and `edited` take; and `original`, true for the picture before it was cropped and squeezed for the model
        - stop: See `Explorer.cams`"""
    def code(self, i, target: Any = None, layer: Any = None, method: Any = None, edits: Any = ...) -> str: r"""The line of Python that draws this view
        
        - i: As for `Explorer.cams`, as the others"""
    def layers(self): r"""Layers to choose from, as `learn.cam_layers` has them; none while there is no item"""
    def methods(self): r"""Methods to choose from, the quick ones first"""
    def __getattr__(self, name: str) -> Any: ...
class Features(_Features):
    def panels(self, max_n: Any = 9, background: Any = False): r"""Each item, and beside it its colors, or a panel for each head
        
        - max_n: At most so many items
        - background: See `FeatureColors`"""
    def show(self, max_n: Any = 9, background: Any = False, ctxs: Any = None, ncols: Any = None, figsize: Any = None, alpha: Any = 0.6): r"""Draw each item with its colors, or its heads, beside it; gives the axes
        
        - max_n: Show at most so many items; the colors are those of all
        - background: Leave out the background, by the first component? True, or its share of the component's range, 0..1
        - ctxs: Axes to draw on
        - ncols: Columns of the grid; if None an item is a row
        - figsize: Size of the figure in inches
        - alpha: How much attention covers the pictures, 0..1"""
    def __getattr__(self, name: str) -> Any: ...
class Interpretation(_Interpretation):
    def show_cam(self, idxs: Any = None, *, target: Any = None, layer: Any = None, method: Any = None, fuse: Any = 'mean', smooth: Any = None, with_preds: Any = True, rule: Any = None, shares: Any = False, size: Any = None, ctxs: Any = None, nrows: Any = None, ncols: Any = None, figsize: Any = None, scale: Any = 'image', relu: Any = None, clip: Any = None, cmap: Any = None, alpha: Any = 'heat', interpolation: Any = 'bilinear', inp: Any = None, original: Any = False, fs: Any = None, slices: Any = None, contour: Any = None, colorbar: Any = False, bands: Any = None): r"""Show the maps of the items `idxs`
        
        - idxs: Position of an item in `dl`, or a list of these, such as `interp.top_losses(9)[1]`; the nine with the largest losses if None
        - target: What: if None what the task asks for, see `task_target`, such as the predicted class; a class or index; a list, one column each; indices (n,) or (n,k); a `Target` such as `TopK(3)`; a function of the prediction
        - layer: Where: the last that makes a good map if None, of texts their words; 'input' is the input itself; -2 is a stage earlier; a name, a module; a list of these; see `cam_layers`
        - method: How: the name of a method, or a function of a captured pass; what the task asks for if None: Grad-CAM, and where the answer belongs to a place what is best there
        - fuse: How the maps of several layers become one; None gives a dict of `CAMs` by layer
        - smooth: Average over variants of the input: 'tta' (flips and gains), 'noise', 'scales' (several sizes and flips), 'windows', a function
        - with_preds: Keep the predictions
        - rule: How the backward pass is made: 'guided', 'libragrad' and 'attnlrp' for transformers, a function; as autograd makes it if None
        - shares: Of several inputs, say what each counted, in `CAMs.shares` and the titles? True, or what stands for empty inputs, see `input_shares`
        - size: Explain at a larger input, for finer maps: pixels of its shorter side, such as 336, or (height, width), of the photo's own where the transforms allow that; as it is if None. The prediction is made at that size too, and may be another class: `target` says which is explained
        - ctxs: Axes to draw on, one for each item and target, in a list or an array; a single one for a single map
        - nrows: Rows of the grid
        - ncols: Columns of the grid; several targets give a column each
        - figsize: Size of the figure in inches
        - scale: 'image' scales each map by its own maximum, 'shared' all that are shown by the largest of all, so that they compare; a number is what is brightest
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.show`
        - cmap: Colors of the maps: 'magma', or 'RdBu_r' for both signs
        - alpha: How much the maps cover the pictures: 'heat', the more the larger they are, so that the rest stays as it is; or a number of 0..1, evenly
        - interpolation: matplotlib's, between the cells of a map
        - inp: Which input to draw, if the model has several; if None the one that the layer reads
        - original: Draw on the items as fastai opens them, with what the model did not see dimmed; if False on what the model saw
        - fs: Steps of a signal, or frames of a clip, in a second, so that it is drawn in seconds; as an attribute of the item says it (`fs`, `sr`, `sample_rate`, `sampling_rate`, `fps`) if None
        - slices: Numbers of the slices of a volume, or of the frames of a clip, that are drawn, or how many at even depths; if None up to 12 slices or 6 frames
        - contour: Draw a line around what reaches this share of the largest value, 0..1; True is .5; or several shares
        - colorbar: Show what the colors mean?
        - bands: Numbers of the bands of a picture that are drawn as red, green and blue, such as (3,2,1), or of one, drawn in gray; if None the first three where there are more. Of more than three each is stretched to what can be seen"""
    def plot_top_losses(self, k, largest: Any = True, heatmap: Any = False, *, target: Any = None, layer: Any = None, method: Any = None, fuse: Any = 'mean', smooth: Any = None, with_preds: Any = True, rule: Any = None, shares: Any = False, size: Any = None, ctxs: Any = None, nrows: Any = None, ncols: Any = None, figsize: Any = None, scale: Any = 'image', relu: Any = None, clip: Any = None, cmap: Any = None, alpha: Any = 'heat', interpolation: Any = 'bilinear', inp: Any = None, original: Any = False, fs: Any = None, slices: Any = None, contour: Any = None, colorbar: Any = False, bands: Any = None): r"""Show the `k` largest (or smallest) losses as fastai does, with `heatmap=True` under their maps
        
        - k: Number of losses to plot, or which of them
        - largest: Sort losses by largest or smallest
        - heatmap: Draw maps, where an item has one class of the predicted and the actual one side by side, or of the runner-up where these are the same; else of what the task asks for
        - target: What: if None what the task asks for, see `task_target`, such as the predicted class; a class or index; a list, one column each; indices (n,) or (n,k); a `Target` such as `TopK(3)`; a function of the prediction
        - layer: Where: the last that makes a good map if None, of texts their words; 'input' is the input itself; -2 is a stage earlier; a name, a module; a list of these; see `cam_layers`
        - method: How: the name of a method, or a function of a captured pass; what the task asks for if None: Grad-CAM, and where the answer belongs to a place what is best there
        - fuse: How the maps of several layers become one; None gives a dict of `CAMs` by layer
        - smooth: Average over variants of the input: 'tta' (flips and gains), 'noise', 'scales' (several sizes and flips), 'windows', a function
        - with_preds: Keep the predictions
        - rule: How the backward pass is made: 'guided', 'libragrad' and 'attnlrp' for transformers, a function; as autograd makes it if None
        - shares: Of several inputs, say what each counted, in `CAMs.shares` and the titles? True, or what stands for empty inputs, see `input_shares`
        - size: Explain at a larger input, for finer maps: pixels of its shorter side, such as 336, or (height, width), of the photo's own where the transforms allow that; as it is if None. The prediction is made at that size too, and may be another class: `target` says which is explained
        - ctxs: Axes to draw on, one for each item and target, in a list or an array; a single one for a single map
        - nrows: Rows of the grid
        - ncols: Columns of the grid; several targets give a column each
        - figsize: Size of the figure in inches
        - scale: 'image' scales each map by its own maximum, 'shared' all that are shown by the largest of all, so that they compare; a number is what is brightest
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.show`
        - cmap: Colors of the maps: 'magma', or 'RdBu_r' for both signs
        - alpha: How much the maps cover the pictures: 'heat', the more the larger they are, so that the rest stays as it is; or a number of 0..1, evenly
        - interpolation: matplotlib's, between the cells of a map
        - inp: Which input to draw, if the model has several; if None the one that the layer reads
        - original: Draw on the items as fastai opens them, with what the model did not see dimmed; if False on what the model saw
        - fs: Steps of a signal, or frames of a clip, in a second, so that it is drawn in seconds; as an attribute of the item says it (`fs`, `sr`, `sample_rate`, `sampling_rate`, `fps`) if None
        - slices: Numbers of the slices of a volume, or of the frames of a clip, that are drawn, or how many at even depths; if None up to 12 slices or 6 frames
        - contour: Draw a line around what reaches this share of the largest value, 0..1; True is .5; or several shares
        - colorbar: Show what the colors mean?
        - bands: Numbers of the bands of a picture that are drawn as red, green and blue, such as (3,2,1), or of one, drawn in gray; if None the first three where there are more. Of more than three each is stretched to what can be seen"""
    def __getattr__(self, name: str) -> Any: ...
class SanityCheck(_SanityCheck):
    def plot(self, by: Any = 'spearman', ax: Any = None, figsize: Any = ...): r"""Similarity to the maps of the trained model as more and more is randomised, with two standard errors to each side; gives the axes
        
        - by: 'spearman' or 'ssim' of signed maps, 'spearman_abs' or 'ssim_abs' of absolute values
        - ax: Axes to draw on
        - figsize: Size in inches, if the axes are made here"""
    def panels(self, item: Any = 0, methods: Any = None): r"""Maps of one item, method by method, a panel for each stage
        
        - item: Which of the items kept
        - methods: Names of methods; all if None"""
    def show(self, item: Any = 0, methods: Any = None, figsize: Any = None, relu: Any = True): r"""Maps of one item, a row for each method and a column for each stage; gives the axes
        
        - item: Which of the items kept
        - methods: Names of methods; all if None
        - figsize: Size of the figure in inches
        - relu: Show only what speaks for the target"""
    def __getattr__(self, name: str) -> Any: ...
class ClassificationInterpretation(_ClassificationInterpretation, Interpretation):
    def most_confused_cam(self, min_val: Any = 1, max_n: Any = 3, n_worst: Any = 3, figsize: Any = None, *, layer: Any = None, method: Any = None, smooth: Any = None, rule: Any = None, shares: Any = False, size: Any = None): r"""For the most confused pairs of classes, a row each: the mean of the raw maps of the class predicted and of the actual one over the mean picture, and the worst items under the map of the class predicted
        
        - min_val: Leave out pairs of classes that were confused less often
        - max_n: Show at most so many pairs, the most confused
        - n_worst: Show so many items of each, those with the largest losses
        - figsize: Size of the figure in inches
        - layer: Where: the last that makes a good map if None, of texts their words; 'input' is the input itself; -2 is a stage earlier; a name, a module; a list of these; see `cam_layers`
        - method: How: the name of a method, or a function of a captured pass; what the task asks for if None: Grad-CAM, and where the answer belongs to a place what is best there
        - smooth: Average over variants of the input: 'tta' (flips and gains), 'noise', 'scales' (several sizes and flips), 'windows', a function
        - rule: How the backward pass is made: 'guided', 'libragrad' and 'attnlrp' for transformers, a function; as autograd makes it if None
        - shares: Of several inputs, say what each counted, in `CAMs.shares` and the titles? True, or what stands for empty inputs, see `input_shares`
        - size: Explain at a larger input, for finer maps: pixels of its shorter side, such as 336, or (height, width), of the photo's own where the transforms allow that; as it is if None. The prediction is made at that size too, and may be another class: `target` says which is explained"""
    def __getattr__(self, name: str) -> Any: ...
class Learner(_Learner):
    def explore_cams(self, items: Any = None, dl: Any = None, ds_idx: Any = 1, *, port: Any = 0, host: Any = None, name: Any = None, height: Any = 860): r"""Touch the picture, and the model answers: a page to look at maps by class, layer and method, to hide a part and ask again
        
        - items: As for `Learner.cam`; an empty list to begin with none
        - dl: `DataLoader`, or list of batches, instead of `items`
        - ds_idx: Without either: 0 shows the training set, 1 the validation set
        - port: 0 takes any that is free
        - host: This machine only if None. Else where to listen, such as '0.0.0.0': whoever reaches it and knows the token of `url` may ask the model
        - name: Name by which others know this machine, if `host` is given; its own if None
        - height: Of the notebook's cell, in pixels"""
    def export_cams(self, path, items: Any = None, dl: Any = None, ds_idx: Any = 1, target: Any = None, layer: Any = None, method: Any = None, fuse: Any = 'mean', smooth: Any = None, max_n: Any = None, size: Any = None, shard: Any = 1024, dtype: Any = 'float16', views: Any = True, overlays: Any = False, **kwargs): r"""Save the maps of any number of items in a folder of Parquet files; what is there already is not done again

learn.export_cams('maps', files)
cams = load_cams('maps')                              # needs no learner
        
        - path: Folder for the maps: a new one, or one that was begun with the same settings, where the run goes on
        - items: See `Learner.cam`; also a folder, of which all pictures are explained
        - dl: See `Learner.cam`; it must be able to read any item by its index
        - ds_idx: See `Learner.cam`
        - target: See `Learner.cam`
        - layer: See `Learner.cam`
        - method: See `Learner.cam`
        - fuse: See `Learner.cam`
        - smooth: See `Learner.cam`
        - max_n: Explain only so many items, the first
        - size: See `Learner.cam`
        - shard: Items in a file, rounded up to whole batches; what is lost at most when a run is killed
        - dtype: 'float16': maps divided by their largest absolute value; 'float32': as they are
        - views: Find how what the model saw lies on each file, see `find_view`, which takes as long as opening a handful of items for each size of picture; without it, this is left to the learner that reads the maps
        - overlays: Draw each map over its item as well, as JPEG, with a page `gallery.html` that shows them"""
    def best_cam(self, items: Any = None, dl: Any = None, ds_idx: Any = 1, methods: Any = ..., layers: Any = None, by: Any = 'faithfulness', target: Any = None, truth: Any = None, original: Any = True, max_n: Any = 32, quick: Any = True, error: Any = 0.05, bs: Any = None, **kwargs) -> BestCAM: r"""Race methods and layers on a sample, and pick the cheapest of those that cannot be told from the best
        
        - items: See `Learner.cam`
        - dl: See `Learner.cam`
        - ds_idx: See `Learner.cam`
        - methods: Names of methods, or functions
        - layers: Layers, see `find_layers`; 'input' is the input itself; if None the last two stages, for methods of the input the input
        - by: What is best: 'faithfulness', which is insertion less deletion, 'localization', or names of metrics, or functions: the sum of those that are better high, less those that are better low
        - target: See `Learner.cam`
        - truth: For localization: what is true of each item, see `cam_localize`; if None the items' own targets, or else collages
        - original: Is the truth measured on the original picture?
        - max_n: At most so many items, drawn with a fixed seed; None for all
        - quick: At most 16 steps for a curve, and other metrics as quick as in `cam_metrics`; False takes those that are left to as many steps as the input is wide
        - error: How likely the best may drop out on the way, at most
        - bs: Rows of changed inputs that are asked at once; as fits if None"""
    def cam_localize(self, items: Any = None, dl: Any = None, ds_idx: Any = 1, truth: Any = None, methods: Any = ..., original: Any = True, tol: Any = 0.03, max_n: Any = None, *, target: Any = None, layer: Any = None, fuse: Any = 'mean', smooth: Any = None, rule: Any = None, shares: Any = False, size: Any = None) -> DataFrame: r"""Do maps lie on the object, by method? IoUs are those at the threshold that is best for these items: use it in `CAMs.mask` and `CAMs.bbox`
        
        - items: See `Learner.cam`
        - dl: See `Learner.cam`
        - ds_idx: See `Learner.cam`
        - truth: What is true of each item, see `CAMs.localize`: a function of the item (such as its file), a list; if None the items' own targets, or the boxes of the objects that are explained
        - methods: Names of methods, or functions, a row each; two baselines come with them: Random, and the middle of the picture
        - original: See `CAMs.localize`
        - tol: See `pointing_game`
        - max_n: At most so many items, drawn with a fixed seed
        - target: What: if None what the task asks for, see `task_target`, such as the predicted class; a class or index; a list, one column each; indices (n,) or (n,k); a `Target` such as `TopK(3)`; a function of the prediction
        - layer: Where: the last that makes a good map if None, of texts their words; 'input' is the input itself; -2 is a stage earlier; a name, a module; a list of these; see `cam_layers`
        - fuse: How the maps of several layers become one; None gives a dict of `CAMs` by layer
        - smooth: Average over variants of the input: 'tta' (flips and gains), 'noise', 'scales' (several sizes and flips), 'windows', a function
        - rule: How the backward pass is made: 'guided', 'libragrad' and 'attnlrp' for transformers, a function; as autograd makes it if None
        - shares: Of several inputs, say what each counted, in `CAMs.shares` and the titles? True, or what stands for empty inputs, see `input_shares`
        - size: Explain at a larger input, for finer maps: pixels of its shorter side, such as 336, or (height, width), of the photo's own where the transforms allow that; as it is if None. The prediction is made at that size too, and may be another class: `target` says which is explained"""
    def cam_metrics(self, items: Any = None, dl: Any = None, ds_idx: Any = 1, methods: Any = ..., layers: Any = None, metrics: Any = None, target: Any = None, max_n: Any = 32, quick: Any = True, bs: Any = 16, **kwargs) -> DataFrame: r"""How faithful, stable and simple maps are, by method and layer: mean and standard error over items, with what a map costs
        
        - items: See `Learner.cam`
        - dl: See `Learner.cam`
        - ds_idx: See `Learner.cam`
        - methods: Names of methods, or functions, a row each; Random comes with them
        - layers: Layers, a row each, see `find_layers`; a list in it is fused, 'input' is the input itself; where each method looks by itself if None
        - metrics: Names of metrics, or functions, see `metrics_table`; all if None
        - target: See `Learner.cam`; an item with several targets counts once, with their mean
        - max_n: At most so many items, drawn with a fixed seed; None for all
        - quick: A quick look: fewer steps and samples than in the papers, see `metrics_table`
        - bs: Items, and rows of changed inputs, that are held at once"""
    def sanity_check(self, items: Any = None, dl: Any = None, ds_idx: Any = 1, methods: Any = ..., layer: Any = None, target: Any = None, max_n: Any = 16, draws: Any = 3, least: Any = 0.5, show_n: Any = 4, bs: Any = 32, rule: Any = None, **kwargs) -> SanityCheck: r"""Do maps depend on what the model has learned? Weights of a copy are randomised from head to stem (1810.03292), and the maps compared with those of the trained model
        
        - items: See `Learner.cam`
        - dl: See `Learner.cam`
        - ds_idx: See `Learner.cam`
        - methods: Names of methods, or functions; Random, which ignores what the model has learned, is a good one to add
        - layer: One layer, see `find_layers`, 'input' for the input itself; where each method looks by itself if None
        - target: See `Learner.cam`; the classes stay those that the trained model was asked about
        - max_n: At most so many items, drawn with a fixed seed; None for all
        - draws: How often the weights are shuffled anew
        - least: Rank correlation above which maps count as the same
        - show_n: Keep maps of so many items for `SanityCheck.show`
        - bs: Items that are held at once
        - rule: How the backward pass is made, see `Learner.cam`"""
    def class_sensitivity(self, items: Any = None, dl: Any = None, ds_idx: Any = 1, methods: Any = ..., layers: Any = None, share: Any = 0.1, head: Any = None, max_n: Any = 32, bs: Any = 16, **kwargs) -> DataFrame: r"""Which methods answer another class with another map? How far the hottest cells for the first and the second class are the same (2506.07327)
        
        - items: See `Learner.cam`
        - dl: See `Learner.cam`
        - ds_idx: See `Learner.cam`
        - methods: Names of methods, or functions
        - layers: Layers, see `find_layers`, 'input' is the input itself; if None the last two stages, for methods of the input the input
        - share: Of a map's cells, so many are hot, 0..1
        - head: Number of the head whose classes are compared, of a model with several
        - max_n: At most so many items, drawn with a fixed seed; None for all
        - bs: Items that are held at once"""
    def cam_summary(self, items: Any = None, dl: Any = None, ds_idx: Any = 1, truth: Any = None, original: Any = True, border: Any = 0.1, max_n: Any = None, *, target: Any = None, layer: Any = None, method: Any = None, fuse: Any = 'mean', smooth: Any = None, with_preds: Any = True, rule: Any = None, shares: Any = False, size: Any = None) -> CAMSummary: r"""Where do the maps of a set lie: the mean map of each class, shares at the border and outside the object, distances from the mean
        
        - items: See `Learner.cam`
        - dl: See `Learner.cam`
        - ds_idx: See `Learner.cam`
        - truth: Where the object is, see `CAMs.localize`: a function of the item (such as its file) that gives a mask or boxes, or a list; without it nothing is said about the outside
        - original: See `CAMs.localize`
        - border: Width of the border on each side, as a share of the picture's
        - max_n: At most so many items, drawn with a fixed seed
        - target: What: if None what the task asks for, see `task_target`, such as the predicted class; a class or index; a list, one column each; indices (n,) or (n,k); a `Target` such as `TopK(3)`; a function of the prediction
        - layer: Where: the last that makes a good map if None, of texts their words; 'input' is the input itself; -2 is a stage earlier; a name, a module; a list of these; see `cam_layers`
        - method: How: the name of a method, or a function of a captured pass; what the task asks for if None: Grad-CAM, and where the answer belongs to a place what is best there
        - fuse: How the maps of several layers become one; None gives a dict of `CAMs` by layer
        - smooth: Average over variants of the input: 'tta' (flips and gains), 'noise', 'scales' (several sizes and flips), 'windows', a function
        - with_preds: Keep the predictions
        - rule: How the backward pass is made: 'guided', 'libragrad' and 'attnlrp' for transformers, a function; as autograd makes it if None
        - shares: Of several inputs, say what each counted, in `CAMs.shares` and the titles? True, or what stands for empty inputs, see `input_shares`
        - size: Explain at a larger input, for finer maps: pixels of its shorter side, such as 336, or (height, width), of the photo's own where the transforms allow that; as it is if None. The prediction is made at that size too, and may be another class: `target` says which is explained"""
    def concepts(self, items: Any = None, k: Any = 4, layer: Any = None, dl: Any = None, ds_idx: Any = 1, max_n: Any = None) -> Concepts: r"""Factor the layer's activations over the items into `k` concepts, each labelled by the head
        
        - items: See `Learner.cam`; a set that has something in common says most
        - k: Number of concepts
        - layer: Where, one layer, see `find_layers`
        - dl: See `Learner.cam`
        - ds_idx: See `Learner.cam`
        - max_n: See `Learner.cam`"""
    def cam_features(self, items: Any = None, dl: Any = None, ds_idx: Any = 1, layer: Any = None, of: Any = 'features', max_n: Any = None) -> Features: r"""The features of each cell of a layer, or the attention of each head, as they are, in the order of the items
        
        - items: See `Learner.cam`
        - dl: See `Learner.cam`
        - ds_idx: See `Learner.cam`
        - layer: Where, one layer, see `find_layers`; the last that makes a good map if None
        - of: 'features': what the layer gives; 'attention': where each head of a transformer's last block looks, or of the block `layer`
        - max_n: Only so many items, the first"""
    def show_features(self, items: Any = None, dl: Any = None, ds_idx: Any = 1, layer: Any = None, of: Any = 'features', background: Any = False, max_n: Any = 9, **kwargs): r"""Show what the model's body tells apart, whatever its head says: each place in the color of its features, or the attention of each head
        
        - items: See `Learner.cam`; without it or a `dl`, the first `max_n` of the validation set
        - dl: See `Learner.cam`
        - ds_idx: See `Learner.cam`
        - layer: Where, one layer, see `find_layers`; the last that makes a good map if None
        - of: 'features': colors, the first three principal components over all items; 'attention': where each head of a transformer's last block looks, or of the block `layer`
        - background: Leave out the background, by the first component? True, or its share of the component's range, 0..1
        - max_n: Only so many items, the first; all if None"""
    def compare_cams(self, items: Any = None, methods: Any = None, layers: Any = None, targets: Any = None, max_n: Any = 4, *, dl: Any = None, ds_idx: Any = 1, target: Any = None, layer: Any = None, method: Any = None, fuse: Any = 'mean', smooth: Any = None, with_preds: Any = True, rule: Any = None, shares: Any = False, size: Any = None, figsize: Any = None, scale: Any = 'image', relu: Any = None, clip: Any = None, cmap: Any = None, alpha: Any = 'heat', interpolation: Any = 'bilinear', inp: Any = None, original: Any = False, fs: Any = None, slices: Any = None, contour: Any = None, colorbar: Any = False, bands: Any = None): r"""Show maps side by side, a row for each item and a column for each choice: every one of `methods` with every one of `layers` and `targets`

learn.compare_cams(files, methods=['gradcam','hirescam'], layers=[-1,-2])
        
        - items: What to explain, a row each, see `Learner.cam`
        - methods: Methods to choose from, see `as_method`; some that differ if nothing is to be chosen from
        - layers: Layers to choose from, see `find_layers`: [-1,-2,-3] are stages; a list in this list is several layers that become one map
        - targets: Targets to choose from, see `as_target`: a list in this list is several columns
        - max_n: Explain and show only so many items
        - dl: fastai's or PyTorch's `DataLoader`, or a list of batches, instead of `items`
        - ds_idx: Without either: 0 explains the training set, as it is seen in validation; 1 the validation set
        - target: What: if None what the task asks for, see `task_target`, such as the predicted class; a class or index; a list, one column each; indices (n,) or (n,k); a `Target` such as `TopK(3)`; a function of the prediction
        - layer: Where: the last that makes a good map if None, of texts their words; 'input' is the input itself; -2 is a stage earlier; a name, a module; a list of these; see `cam_layers`
        - method: How: the name of a method, or a function of a captured pass; what the task asks for if None: Grad-CAM, and where the answer belongs to a place what is best there
        - fuse: How the maps of several layers become one; None gives a dict of `CAMs` by layer
        - smooth: Average over variants of the input: 'tta' (flips and gains), 'noise', 'scales' (several sizes and flips), 'windows', a function
        - with_preds: Keep the predictions
        - rule: How the backward pass is made: 'guided', 'libragrad' and 'attnlrp' for transformers, a function; as autograd makes it if None
        - shares: Of several inputs, say what each counted, in `CAMs.shares` and the titles? True, or what stands for empty inputs, see `input_shares`
        - size: Explain at a larger input, for finer maps: pixels of its shorter side, such as 336, or (height, width), of the photo's own where the transforms allow that; as it is if None. The prediction is made at that size too, and may be another class: `target` says which is explained
        - figsize: Size of the figure in inches
        - scale: 'image' scales each map by its own maximum, 'shared' all that are shown by the largest of all, so that they compare; a number is what is brightest
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.show`
        - cmap: Colors of the maps: 'magma', or 'RdBu_r' for both signs
        - alpha: How much the maps cover the pictures: 'heat', the more the larger they are, so that the rest stays as it is; or a number of 0..1, evenly
        - interpolation: matplotlib's, between the cells of a map
        - inp: Which input to draw, if the model has several; if None the one that the layer reads
        - original: Draw on the items as fastai opens them, with what the model did not see dimmed; if False on what the model saw
        - fs: Steps of a signal, or frames of a clip, in a second, so that it is drawn in seconds; as an attribute of the item says it (`fs`, `sr`, `sample_rate`, `sampling_rate`, `fps`) if None
        - slices: Numbers of the slices of a volume, or of the frames of a clip, that are drawn, or how many at even depths; if None up to 12 slices or 6 frames
        - contour: Draw a line around what reaches this share of the largest value, 0..1; True is .5; or several shares
        - colorbar: Show what the colors mean?
        - bands: Numbers of the bands of a picture that are drawn as red, green and blue, such as (3,2,1), or of one, drawn in gray; if None the first three where there are more. Of more than three each is stretched to what can be seen"""
    def cam(self, items: Any = None, dl: Any = None, ds_idx: Any = 1, target: Any = None, layer: Any = None, method: Any = None, fuse: Any = 'mean', smooth: Any = None, with_preds: Any = True, max_n: Any = None, rule: Any = None, shares: Any = False, size: Any = None, **kwargs) -> CAMs: r"""Class activation maps of items, raw: signed, float32, at the layer's resolution, in the order of the items

What `items`, `target`, `layer` and `method` may be is the same as for `show_cam`. The result is a list of items: `cams[0]` has `maps`, `labels`, `health`;
`cams.where(error=True)` picks those that are wrong; `cams.show()` draws them.

    cams = learn.cam(files, target=TopK(3))
    cams = learn.cam()                                    # the validation set
    cams.maps                                             # (items, targets, *grid)
        
        - items: Path, folder, bytes, open file, PIL image, array (HWC), tensor (CHW), what `dls.test_dl` takes; a list, DataFrame or 4-D tensor of these
        - dl: fastai's or PyTorch's `DataLoader`, or a list of batches, instead of `items`
        - ds_idx: Without either: 0 explains the training set, as it is seen in validation; 1 the validation set
        - target: What: if None what the task asks for, see `task_target`, such as the predicted class; a class or index; a list, one column each; indices (n,) or (n,k); a `Target` such as `TopK(3)`; a function of the prediction
        - layer: Where: the last that makes a good map if None, of texts their words; 'input' is the input itself; -2 is a stage earlier; a name, a module; a list of these; see `cam_layers`
        - method: How: the name of a method, or a function of a captured pass; what the task asks for if None: Grad-CAM, and where the answer belongs to a place what is best there
        - fuse: How the maps of several layers become one; None gives a dict of `CAMs` by layer
        - smooth: Average over variants of the input: 'tta' (flips and gains), 'noise', 'scales' (several sizes and flips), 'windows', a function
        - with_preds: Keep the predictions
        - max_n: Explain only so many items, the first
        - rule: How the backward pass is made: 'guided', 'libragrad' and 'attnlrp' for transformers, a function; as autograd makes it if None
        - shares: Of several inputs, say what each counted, in `CAMs.shares` and the titles? True, or what stands for empty inputs, see `input_shares`
        - size: Explain at a larger input, for finer maps: pixels of its shorter side, such as 336, or (height, width), of the photo's own where the transforms allow that; as it is if None. The prediction is made at that size too, and may be another class: `target` says which is explained"""
    def show_cam(self, items: Any = None, max_n: Any = 9, *, dl: Any = None, ds_idx: Any = 1, target: Any = None, layer: Any = None, method: Any = None, fuse: Any = 'mean', smooth: Any = None, with_preds: Any = True, rule: Any = None, shares: Any = False, size: Any = None, ctxs: Any = None, nrows: Any = None, ncols: Any = None, figsize: Any = None, scale: Any = 'image', relu: Any = None, clip: Any = None, cmap: Any = None, alpha: Any = 'heat', interpolation: Any = 'bilinear', inp: Any = None, original: Any = False, fs: Any = None, slices: Any = None, contour: Any = None, colorbar: Any = False, bands: Any = None, **kwargs): r"""Show why the model predicted what it predicted: the maps drawn over the items

- `items`: a file, PIL image, array, tensor, text, or a list of them; the validation set (`ds_idx=1`) if None
- `target`: what is explained: the predicted class if None, a class by name or index, a list of these, `TopK(3)`, `Actual()`, `Versus('a','b')`, a function of the prediction
- `method`: how: a name of `cam_methods()`, or a function; what suits the task if None
- `layer`: where: found automatically if None; an index such as -2, a name of `learn.cam_layers()`, a module, or a list of these
- `original`: draw on the picture as it is on disk; `relu=False`: evidence for it in red, against it in blue

For example:

    learn.show_cam('cat.jpg')
    learn.show_cam(files, target='tabby', method='hirescam', layer=-2)
        
        - items: What to explain, see `Learner.cam`; without it or a `dl`, the first `max_n` of the validation set
        - max_n: Explain and show only so many items, the first; all if None
        - dl: fastai's or PyTorch's `DataLoader`, or a list of batches, instead of `items`
        - ds_idx: Without either: 0 explains the training set, as it is seen in validation; 1 the validation set
        - target: What: if None what the task asks for, see `task_target`, such as the predicted class; a class or index; a list, one column each; indices (n,) or (n,k); a `Target` such as `TopK(3)`; a function of the prediction
        - layer: Where: the last that makes a good map if None, of texts their words; 'input' is the input itself; -2 is a stage earlier; a name, a module; a list of these; see `cam_layers`
        - method: How: the name of a method, or a function of a captured pass; what the task asks for if None: Grad-CAM, and where the answer belongs to a place what is best there
        - fuse: How the maps of several layers become one; None gives a dict of `CAMs` by layer
        - smooth: Average over variants of the input: 'tta' (flips and gains), 'noise', 'scales' (several sizes and flips), 'windows', a function
        - with_preds: Keep the predictions
        - rule: How the backward pass is made: 'guided', 'libragrad' and 'attnlrp' for transformers, a function; as autograd makes it if None
        - shares: Of several inputs, say what each counted, in `CAMs.shares` and the titles? True, or what stands for empty inputs, see `input_shares`
        - size: Explain at a larger input, for finer maps: pixels of its shorter side, such as 336, or (height, width), of the photo's own where the transforms allow that; as it is if None. The prediction is made at that size too, and may be another class: `target` says which is explained
        - ctxs: Axes to draw on, one for each item and target, in a list or an array; a single one for a single map
        - nrows: Rows of the grid
        - ncols: Columns of the grid; several targets give a column each
        - figsize: Size of the figure in inches
        - scale: 'image' scales each map by its own maximum, 'shared' all that are shown by the largest of all, so that they compare; a number is what is brightest
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.show`
        - cmap: Colors of the maps: 'magma', or 'RdBu_r' for both signs
        - alpha: How much the maps cover the pictures: 'heat', the more the larger they are, so that the rest stays as it is; or a number of 0..1, evenly
        - interpolation: matplotlib's, between the cells of a map
        - inp: Which input to draw, if the model has several; if None the one that the layer reads
        - original: Draw on the items as fastai opens them, with what the model did not see dimmed; if False on what the model saw
        - fs: Steps of a signal, or frames of a clip, in a second, so that it is drawn in seconds; as an attribute of the item says it (`fs`, `sr`, `sample_rate`, `sampling_rate`, `fps`) if None
        - slices: Numbers of the slices of a volume, or of the frames of a clip, that are drawn, or how many at even depths; if None up to 12 slices or 6 frames
        - contour: Draw a line around what reaches this share of the largest value, 0..1; True is .5; or several shares
        - colorbar: Show what the colors mean?
        - bands: Numbers of the bands of a picture that are drawn as red, green and blue, such as (3,2,1), or of one, drawn in gray; if None the first three where there are more. Of more than three each is stretched to what can be seen"""
    def cam_layers(self, items: Any = None, dl: Any = None, ds_idx: Any = 1, all: Any = False, size: Any = None, target: Any = None) -> DataFrame: r"""The layers of this learner's model that a map can be made at, with what to give as `layer=`; at 'input', the input itself, one always can
        
        - items: As for `Learner.cam`; the first is looked at, since grids depend on the size of the input
        - dl: `DataLoader`, or list of batches, instead of `items`
        - ds_idx: Without either: 0 looks at the training set, 1 at the validation set
        - all: Every layer with a grid, not only the stages
        - size: As for `Learner.cam`: grids are finer at a larger input
        - target: As for `Learner.cam`: what is shown by default may follow from it, as of a detector, whose objects are shown at the layers that they come from"""
    def __getattr__(self, name: str) -> Any: ...
class TextCAMs(_TextCAMs, CAMs):
    def panels(self, relu: Any = True, scale: Any = 'image', clip: Any = None): r"""What is drawn, text by text, a panel for each target; None where a text has fewer targets than others
        
        - relu: Is only shown what speaks for the target?
        - scale: See `TextCAMs.show`
        - clip: See `TensorCAM.normalize`"""
    def html(self, scale: Any = 'image', relu: Any = None, clip: Any = None) -> str: r"""The texts as colored words, each under a title
        
        - scale: 'image' colors each text by its own largest value, 'shared' all by the largest of all, so that they compare
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.normalize`"""
    def show(self, max_n: Any = 9, ctxs: Any = None, figsize: Any = None, scale: Any = 'image', relu: Any = None, clip: Any = None, **kwargs): r"""Show the texts as colored words, each under a title; gives the axes, or None for HTML
        
        - max_n: Show at most so many texts, the first; all if None
        - ctxs: Axes to draw on, one for each text and target; if None, HTML in a notebook, new axes elsewhere
        - figsize: Size of the figure in inches, if the axes are made here: also in a notebook this draws a figure. It grows where words would overlap
        - scale: 'image' colors each text by its own largest value, 'shared' all that are shown by the largest of all, so that they compare
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.normalize`"""
    def __getattr__(self, name: str) -> Any: ...
class CAMFilm(_CAMFilm):
    def show(self, max_n: Any = 4, n_frames: Any = 6, figsize: Any = None, *, scale: Any = 'image', relu: Any = None, clip: Any = None, cmap: Any = None, alpha: Any = 'heat', interpolation: Any = 'bilinear', inp: Any = None, original: Any = False, fs: Any = None, slices: Any = None, contour: Any = None, colorbar: Any = False, bands: Any = None): r"""Draw the items, a row each, by frames, a column each
        
        - max_n: Show at most so many items, a row each
        - n_frames: Show at most so many frames, a column each: the first, the last, and some between
        - figsize: Size of the figure in inches
        - scale: 'image' scales each map by its own maximum, 'shared' all that are shown by the largest of all, so that they compare; a number is what is brightest
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.show`
        - cmap: Colors of the maps: 'magma', or 'RdBu_r' for both signs
        - alpha: How much the maps cover the pictures: 'heat', the more the larger they are, so that the rest stays as it is; or a number of 0..1, evenly
        - interpolation: matplotlib's, between the cells of a map
        - inp: Which input to draw, if the model has several; if None the one that the layer reads
        - original: Draw on the items as fastai opens them, with what the model did not see dimmed; if False on what the model saw
        - fs: Steps of a signal, or frames of a clip, in a second, so that it is drawn in seconds; as an attribute of the item says it (`fs`, `sr`, `sample_rate`, `sampling_rate`, `fps`) if None
        - slices: Numbers of the slices of a volume, or of the frames of a clip, that are drawn, or how many at even depths; if None up to 12 slices or 6 frames
        - contour: Draw a line around what reaches this share of the largest value, 0..1; True is .5; or several shares
        - colorbar: Show what the colors mean?
        - bands: Numbers of the bands of a picture that are drawn as red, green and blue, such as (3,2,1), or of one, drawn in gray; if None the first three where there are more. Of more than three each is stretched to what can be seen"""
    def animate(self, fps: Any = 2, max_n: Any = 4, dpi: Any = 80, *, ncols: Any = None, figsize: Any = None, scale: Any = 'image', relu: Any = None, clip: Any = None, cmap: Any = None, alpha: Any = 'heat', interpolation: Any = 'bilinear', inp: Any = None, original: Any = False, fs: Any = None, slices: Any = None, contour: Any = None, colorbar: Any = False, bands: Any = None): r"""The film as an animation, which a notebook shows; its `data` is a GIF
        
        - fps: Frames in a second; the last stays for two seconds
        - max_n: Show at most so many items
        - dpi: Dots to an inch
        - ncols: Columns of the grid; several targets give a column each
        - figsize: Size of the figure in inches
        - scale: 'image' scales each map by its own maximum, 'shared' all that are shown by the largest of all, so that they compare; a number is what is brightest
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.show`
        - cmap: Colors of the maps: 'magma', or 'RdBu_r' for both signs
        - alpha: How much the maps cover the pictures: 'heat', the more the larger they are, so that the rest stays as it is; or a number of 0..1, evenly
        - interpolation: matplotlib's, between the cells of a map
        - inp: Which input to draw, if the model has several; if None the one that the layer reads
        - original: Draw on the items as fastai opens them, with what the model did not see dimmed; if False on what the model saw
        - fs: Steps of a signal, or frames of a clip, in a second, so that it is drawn in seconds; as an attribute of the item says it (`fs`, `sr`, `sample_rate`, `sampling_rate`, `fps`) if None
        - slices: Numbers of the slices of a volume, or of the frames of a clip, that are drawn, or how many at even depths; if None up to 12 slices or 6 frames
        - contour: Draw a line around what reaches this share of the largest value, 0..1; True is .5; or several shares
        - colorbar: Show what the colors mean?
        - bands: Numbers of the bands of a picture that are drawn as red, green and blue, such as (3,2,1), or of one, drawn in gray; if None the first three where there are more. Of more than three each is stretched to what can be seen"""
    def save(self, path, fps: Any = 2, *, max_n: Any = 4, dpi: Any = 80, ncols: Any = None, figsize: Any = None, scale: Any = 'image', relu: Any = None, clip: Any = None, cmap: Any = None, alpha: Any = 'heat', interpolation: Any = 'bilinear', inp: Any = None, original: Any = False, fs: Any = None, slices: Any = None, contour: Any = None, colorbar: Any = False, bands: Any = None): r"""Write the film to a file
        
        - path: File to write: '.gif'; '.webp', which has all colors; or '.mp4', for which the program ffmpeg is needed
        - fps: Frames in a second
        - max_n: Show at most so many items
        - dpi: Dots to an inch
        - ncols: Columns of the grid; several targets give a column each
        - figsize: Size of the figure in inches
        - scale: 'image' scales each map by its own maximum, 'shared' all that are shown by the largest of all, so that they compare; a number is what is brightest
        - relu: Show positive evidence only (True), or also negative evidence, in blue (False); None is positive evidence for classes, and both signs where both answer the question, as in regression
        - clip: See `TensorCAM.show`
        - cmap: Colors of the maps: 'magma', or 'RdBu_r' for both signs
        - alpha: How much the maps cover the pictures: 'heat', the more the larger they are, so that the rest stays as it is; or a number of 0..1, evenly
        - interpolation: matplotlib's, between the cells of a map
        - inp: Which input to draw, if the model has several; if None the one that the layer reads
        - original: Draw on the items as fastai opens them, with what the model did not see dimmed; if False on what the model saw
        - fs: Steps of a signal, or frames of a clip, in a second, so that it is drawn in seconds; as an attribute of the item says it (`fs`, `sr`, `sample_rate`, `sampling_rate`, `fps`) if None
        - slices: Numbers of the slices of a volume, or of the frames of a clip, that are drawn, or how many at even depths; if None up to 12 slices or 6 frames
        - contour: Draw a line around what reaches this share of the largest value, 0..1; True is .5; or several shares
        - colorbar: Show what the colors mean?
        - bands: Numbers of the bands of a picture that are drawn as red, green and blue, such as (3,2,1), or of one, drawn in gray; if None the first three where there are more. Of more than three each is stretched to what can be seen"""
    def __getattr__(self, name: str) -> Any: ...
class TensorCAM(_TensorCAM):
    def normalize(self, scale: Any = 'image', relu: Any = True, clip: Any = 1.0): r"""Scaled to 0..1 (with `relu=False` to -1..1). Zero stays zero, NaN stays NaN, and a map with nothing to show stays 0 everywhere
        
        - scale: 'image': each map by its own largest value; 'shared': all maps here by the largest of all, so that they compare
        - relu: Keep only what speaks for the target (0..1); False keeps the sign (-1..1)
        - clip: What becomes 1: the largest value, or a quantile of the values, beyond which all are 1"""
    def resize(self, size): r"""The maps interpolated linearly to `size` (`align_corners=False`), over all of the input, as floats
        
        - size: Size of the new grid, such as the picture's (height, width); an int is used for every dimension"""
    def whole(self): r"""The maps on a grid that covers all of the input: themselves, or where theirs covers a part, interpolated"""
    def mask(self, thresh: Any = 0.2, size: Any = None, components: Any = 'all'): r"""`TensorMask` (..., *size) of ones where the map is hot; zeros where nothing speaks for the target
        
        - thresh: What is hot: a share of the map's largest value, 0..1; 'otsu', the value that parts the map best in two; or a percentile of its values, such as 'p90' for the hottest tenth
        - size: Size of the picture (height, width); the map's own grid if None
        - components: 'all', or only the 'largest' connected piece"""
    def bbox(self, thresh: Any = 0.2, size: Any = None, components: Any = 'largest'): r"""`TensorBBox` (maps, 4) in pixels (x1,y1,x2,y2), a box for each map; zeros where nothing is hot
        
        - thresh: What is hot, see `TensorCAM.mask`
        - size: Size of the picture (height, width); the map's own grid if None
        - components: Around the 'largest' connected hot piece, or around 'all'"""
    def scaled_for_show(self, scale: Any = 'image', relu: Any = True, clip: Any = None): r"""The numbers of the one map that is drawn, over all of its input
        
        - scale: See `TensorCAM.normalize`; None leaves the numbers as they are
        - relu: Keep only what speaks for the target
        - clip: See `TensorCAM.show`"""
    def show(self, ctx: Any = None, scale: Any = 'image', relu: Any = True, clip: Any = None, figsize: Any = None, title: Any = None, view: Any = None, slices: Any = None, contour: Any = None, **kwargs): r"""Show one map on `ctx`, over the picture or the lines of a signal that are there; of a volume, slices beside each other. Gives the axes
        
        - ctx: Axes to draw on; where a picture is drawn there already, the map covers it
        - scale: See `TensorCAM.normalize`; None shows the numbers as they are
        - relu: Show only what speaks for the target
        - clip: See `TensorCAM.normalize`; if None the largest value, but .99 on grids of more than 64*64 cells, where few pixels would leave the rest dark
        - figsize: Size in inches, if the axes are made here
        - title: Title of the axes
        - view: `CAMView`, to draw the map on the original picture: NaN, which is not drawn, where the model did not see it
        - slices: Of a volume that has no picture on `ctx`: which are drawn, see `chosen_slices`
        - contour: Draw a line around what reaches this share of the largest value, 0..1; True is .5; or several shares"""
    def __getattr__(self, name: str) -> Any: ...
def vision_learner(dls, arch, normalize: Any = True, n_out: Any = None, pretrained: Any = True, weights: Any = None, loss_func: Any = None, opt_func: Any = ..., lr: Any = 0.001, splitter: Any = None, cbs: Any = None, metrics: Any = None, path: Any = None, model_dir: Any = 'models', wd: Any = None, wd_bn_bias: Any = False, train_bn: Any = True, moms: Any = ..., cut: Any = None, init: Any = ..., custom_head: Any = None, concat_pool: Any = True, pool: Any = True, lin_ftrs: Any = None, ps: Any = 0.5, first_bn: Any = True, bn_final: Any = False, lin_first: Any = False, y_range: Any = None, *, n_in: Any = 3) -> Learner: r"""Build a vision learner from `dls` and `arch`
    
    - path: learner args
    - pool: model & head args"""
def unet_learner(dls, arch, normalize: Any = True, n_out: Any = None, pretrained: Any = True, weights: Any = None, config: Any = None, loss_func: Any = None, opt_func: Any = ..., lr: Any = 0.001, splitter: Any = None, cbs: Any = None, metrics: Any = None, path: Any = None, model_dir: Any = 'models', wd: Any = None, wd_bn_bias: Any = False, train_bn: Any = True, moms: Any = ..., *, cut: Any = None, n_in: Any = 3, blur: Any = False, blur_final: Any = True, self_attention: Any = False, y_range: Any = None, last_cross: Any = True, bottle: Any = False, act_cls: Any = ..., init: Any = ..., norm_type: Any = None) -> Learner: r"""Build a unet learner from `dls` and `arch`
    
    - path: learner args"""
def load_learner(fname, cpu: Any = True, pickle_module: Any = ...) -> Learner: r"""Load a `Learner` object in `fname`, by default putting it on the `cpu`"""
def text_classifier_learner(dls, arch, seq_len: Any = 72, config: Any = None, backwards: Any = False, pretrained: Any = True, drop_mult: Any = 0.5, n_out: Any = None, lin_ftrs: Any = None, ps: Any = None, max_len: Any = 1440, y_range: Any = None, *, loss_func: Any = None, opt_func: Any = ..., lr: Any = 0.001, splitter: Any = ..., cbs: Any = None, metrics: Any = None, path: Any = None, model_dir: Any = 'models', wd: Any = None, wd_bn_bias: Any = False, train_bn: Any = True, moms: Any = ..., default_cbs: Any = True) -> Learner: r"""Create a `Learner` with a text classifier from `dls` and `arch`.
    
    - dls: `DataLoaders` containing fastai or PyTorch `DataLoader`s
    - loss_func: Loss function. Defaults to `dls` loss
    - opt_func: Optimization function for training
    - lr: Default learning rate
    - splitter: Split model into parameter groups. Defaults to one parameter group
    - cbs: `Callback`s to add to `Learner`
    - metrics: `Metric`s to calculate on validation set
    - path: Parent directory to save, load, and export models. Defaults to `dls` `path`
    - model_dir: Subdirectory to save and load models
    - wd: Default weight decay
    - wd_bn_bias: Apply weight decay to normalization and bias parameters
    - train_bn: Train frozen normalization layers
    - moms: Default momentum for schedulers
    - default_cbs: Include default `Callback`s"""
def cam_maps(model, xb, target: Any = None, layer: Any = None, method: Any = None, fuse: Any = 'mean', smooth: Any = None, rule: Any = None, size: Any = None, **kwargs) -> TensorCAM: r"""Class activation maps of `model` for a batch, in plain PyTorch
    
    - model: Any PyTorch model; it is put in eval mode for the call, and back
    - xb: Its input (batch, channels, *grid), or a tuple of its inputs, on the model's device; for a detector also a list of pictures (channels, height, width)
    - target: What is explained, see `as_target`: the predicted class if None, class indices, a function of the prediction
    - layer: Where, see `find_layers`: the last that makes a good map if None, of a text its embeddings; an index from the end, a name, a module, a list; 'input' is the input itself
    - method: How, see `as_method`: a name or a function; if None Grad-CAM, and where the answer belongs to a place what is best there, see `method_for`
    - fuse: How the maps of several layers become one: 'mean', 'max', 'product', 'tanhmax', a function; None gives a dict by layer
    - smooth: Average over variants of the input: 'tta', 'noise', 'scales', 'windows', a function
    - rule: How the backward pass is made: 'guided', 'libragrad', 'attnlrp', a function; as autograd makes it if None
    - size: Explain at another size of the input, for finer maps: pixels of its shorter side, or (height, width); as it is if None"""
def demo_learner() -> Learner: r"""The packaged ImageNet EfficientNet-Lite0, ready to explain; the random state stays as it is"""
def load_cams(path, learn: Any = None) -> CAMs: r"""The maps in a folder as `CAMs`, each read when it is asked for
    
    - path: Folder that `Learner.export_cams` made, or is making: what is done by now is read
    - learn: Learner that reads the items again; without it they are drawn from their files"""
__all__ = ['Above', 'Actual', 'BestCAM', 'CAMCallback', 'CAMFilm', 'CAMItem', 'CAMSummary', 'CAMs', 'Classes', 'ClassificationInterpretation', 'Concepts', 'Detections', 'Explorer', 'FeatureColors', 'Features', 'Fn', 'Head', 'Interpretation', 'Layout', 'Learner', 'Neg', 'Outputs', 'PerItem', 'Prob', 'Prompt', 'ReST', 'Region', 'SanityCheck', 'Several', 'Similar', 'Target', 'TensorCAM', 'TextCAMs', 'TopK', 'Versus', 'as_item', 'cam_maps', 'cam_methods', 'default_layer', 'demo_learner', 'demo_photos', 'find_layers', 'grid_layers', 'input_shares', 'layers_table', 'load_cams', 'load_learner', 'metrics_table', 'register_layout', 'register_method', 'register_metric', 'register_smooth', 'text_classifier_learner', 'unet_learner', 'vision_learner', 'weight_method']
